"""`edgeship search`: proposes recipes, tries them, and chooses. Nothing here is imported before it is used."""
