"""The pages of docs/ under `/help`, from a checkout or the wheel, also for installations without internet access."""
