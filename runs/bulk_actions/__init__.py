"""One command for many flow runs, carried out in the background."""
