(list (channel
  (name 'guix)
  (url "https://git.example/guix.git")
  (commit
    "1111111111111111111111111111111111111111")))
