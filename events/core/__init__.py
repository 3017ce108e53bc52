"""What events mean and what is told of them: decided without a database, a clock or a network."""
