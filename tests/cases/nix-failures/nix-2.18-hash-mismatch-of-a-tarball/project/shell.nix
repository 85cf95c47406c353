import (fetchTarball {
  url = "x";
  sha256 = "0vmkvi5x46q14dapiq134bcn8g1frsi9mcmi1ap9h47im1zlv2fq";
}) { }
