"""The pages of docs/ under `/help`, from a checkout and from the wheel, so that a team without the web has them."""
