"""The pool's database; the only code that speaks SQL."""
