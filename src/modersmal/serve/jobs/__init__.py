"""What people put into the page: recordings and their text, kept until they are done with them."""
