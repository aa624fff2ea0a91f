#!/bin/sh
# Installs the peers of the benchmark into PEERS_ROOT: PyTorch 2.6 in a Debian 13 tree of its own, ONNX Runtime and TensorFlow.js from npm,
# and the ONNX models. Needs root, a Debian or Ubuntu host with debootstrap, npm, and about 3 GB.
#
#     PEERS_ROOT=/somewhere/outside/the/checkout bench/peers/setup.sh [DEBIAN-MIRROR]
set -eu
: "${PEERS_ROOT:?name a folder outside the checkout}"
here=$(cd "$(dirname "$0")" && pwd)
debian=$PEERS_ROOT/trixie
mkdir -p "$PEERS_ROOT"

[ -x "$debian/usr/bin/apt-get" ] || debootstrap --variant=minbase trixie "$debian" "$@"
# Without these two PyTorch cannot read the processor's features and computes without AVX.
for tree in proc sys; do
  mountpoint -q "$debian/$tree" || mount --bind "/$tree" "$debian/$tree"
done
chroot "$debian" apt-get update
chroot "$debian" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  python3-torch python3-numpy python3-onnx libopenblas0-pthread

mkdir -p "$PEERS_ROOT/onnx"
chroot "$debian" python3 -c "$(cat "$here/make-onnx.py")" /tmp/onnx
cp "$debian"/tmp/onnx/*.onnx "$PEERS_ROOT/onnx/"

cd "$PEERS_ROOT"
[ -f package.json ] || npm init -y >/dev/null
ONNXRUNTIME_NODE_INSTALL=skip npm install --no-fund --no-audit \
  onnxruntime-node onnxruntime-web @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
