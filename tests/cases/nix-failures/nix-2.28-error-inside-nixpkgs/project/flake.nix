{
  outputs = _:
    { }; }
