# Project and version of each line that is no comment.
/^#/ || NF < 3 { next }
{ print $2, $3 }
