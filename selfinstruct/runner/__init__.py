"""One run from its start to its end, with a model, with recorded answers, or as a forecast."""
