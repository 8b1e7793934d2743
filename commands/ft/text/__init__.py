"""The full-text index: words of TEXT fields, where they stand, and how well documents match them."""
