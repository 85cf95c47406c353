{}:
throw "no \"luck\"\nat all"