(package (name "mine"))
