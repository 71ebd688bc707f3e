# Sourced by make: finds a Chromium for the browser tests, installs Debian's where that
# is possible, and otherwise says that they are skipped.
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium for the browser tests ..."
    { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; } \
      >/dev/null 2>&1
  fi
  if ! command -v chromium >/dev/null; then
    echo "no chromium found: the browser tests are skipped"
    export LEMMATA_NO_BROWSER=1
  fi
fi
