"""One module for each generated page, picture or section."""
