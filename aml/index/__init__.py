"""Records by id, tag, figures and words: derived from the store's files, checked against them at every use."""
