"""What a switch changes: directions found in a latent space, or labels."""
