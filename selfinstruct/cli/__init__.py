"""What a person sees of each command."""
