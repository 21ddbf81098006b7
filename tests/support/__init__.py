"""What test modules share: small data, the servers that they talk to, and runs of the product."""
