"""Asking models about a picture and seeing their answers side by side, on a page or in the terminal."""
