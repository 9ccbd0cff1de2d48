"""Reviewing a pool's rows one by one in a browser, to keep, remove or mark them."""
