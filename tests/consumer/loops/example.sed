# SPDX-License-Identifier: MIT
# The example of a manual page: sed -n -f example.sed PAGE
/^\.Sh EXAMPLES/,/^\.Sh ERRORS/ {
  /^\.Bd/,/^\.Ed/ {
    /^\./d
    s/\\e/\\/g
    p
  }
}
