"""Questions with their truths: packaged, published, or a user's own."""
