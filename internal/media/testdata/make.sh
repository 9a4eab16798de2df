#!/bin/sh
# Makes the recordings in this folder, and beside each what another decoder
# makes of it (NAME.pcm.wav): GSM by libgsm, with which FFmpeg must agree. The
# tests need the files alone. Encoders change, so run it only to add something.
# It takes, by Debian's names: sox, espeak-ng, ffmpeg and openssl.
set -eu
cd "$(dirname "$0")"
export SOX_OPTS=-DR # the same every time
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
rm -f ./*.wav ./*.gsm

# Speech, a pause of half a second, and a tone that starts at once.
espeak-ng -v en -s 200 -w "$tmp/said.wav" 'Please hold the line.'
sox -n -r 48000 "$tmp/pause.wav" synth 0.5 sine 0 vol 0
sox -n -r 48000 "$tmp/tone.wav" synth 0.25 sine 440 vol 0.5
sox "$tmp/said.wav" -r 48000 "$tmp/speech.wav" trim 0.1 0.6
sox "$tmp/speech.wav" "$tmp/pause.wav" "$tmp/tone.wav" "$tmp/mono.wav"

# gsm SOURCE NAME: a WAV of GSM, and the same as bare frames.
gsm() {
	sox "$1" -e gsm-full-rate "$2.wav"
	sox "$2.wav" -e signed -b 16 "$2.pcm.wav"
	sox "$2.pcm.wav" "$tmp/libgsm.raw"
	ffmpeg -v error -i "$2.wav" -f s16le "$tmp/ffmpeg.raw"
	cmp "$tmp/libgsm.raw" "$tmp/ffmpeg.raw"
}
sox "$tmp/mono.wav" -r 8000 -b 16 "$tmp/telephone.wav"
gsm "$tmp/telephone.wav" gsm
sox "$tmp/telephone.wav" gsm.gsm
# Any parameters are speech to a decoder: these drive it to its limits,
# where FFmpeg does not saturate as the standard has it.
sox -n -r 8000 -e gsm-full-rate "$tmp/head.wav" trim 0 0.8
head -c 60 "$tmp/head.wav" >gsm-wild.wav
openssl enc -aes-256-ctr -pass pass:callvault -nosalt -pbkdf2 </dev/zero 2>/dev/null | head -c 1300 >>gsm-wild.wav
sox gsm-wild.wav -e signed -b 16 gsm-wild.pcm.wav
