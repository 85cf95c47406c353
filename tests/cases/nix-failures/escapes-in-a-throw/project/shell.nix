
throw "evil"
