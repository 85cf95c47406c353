{ fetchurl }:
fetchurl {
  url = "https://downloads.example/fruit-1.2.0.tar.gz";
  hash = "sha256-D2wkC6VR9MSuHfoaIo3UhgqFW2HxCo0In09gnu1yG/E=";
}
