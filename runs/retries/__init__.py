"""A finished run once more, from some of its tasks on: what that would come to, and doing it."""
