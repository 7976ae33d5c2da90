"""What is known of a store's health, for people: text, Markdown, and one HTML file with plots. All of it is pure."""
