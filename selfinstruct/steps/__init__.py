"""What is done with an accepted task beyond its recipe: the judge, and self-consistency."""
