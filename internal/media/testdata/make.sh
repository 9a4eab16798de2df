#!/bin/sh
# Makes the recordings in this folder, and beside each what another decoder
# makes of it (NAME.pcm.wav): GSM by libgsm, with which FFmpeg must agree, MP3 by
# mpg123. The tests need the files alone. Encoders change, so run it only to add
# something. It takes, by Debian's names: sox, espeak-ng, lame, ffmpeg, mpg123,
# openssl and perl.
set -eu
cd "$(dirname "$0")"
export SOX_OPTS=-DR # the same every time
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
rm -f ./*.wav ./*.mp3 ./*.gsm

# Speech, a pause of half a second, and a tone that starts at once.
espeak-ng -v en -s 200 -w "$tmp/said.wav" 'Please hold the line.'
sox -n -r 48000 "$tmp/pause.wav" synth 0.5 sine 0 vol 0
sox -n -r 48000 "$tmp/tone.wav" synth 0.25 sine 440 vol 0.5
sox "$tmp/said.wav" -r 48000 "$tmp/speech.wav" trim 0.1 0.6
sox "$tmp/speech.wav" "$tmp/pause.wav" "$tmp/tone.wav" "$tmp/mono.wav"
sox "$tmp/mono.wav" "$tmp/back.wav" reverse
# A caller and an agent, who hear a little of each other.
sox -M "$tmp/mono.wav" "$tmp/back.wav" "$tmp/stereo.wav" remix -m 1,2v0.2 2,1v0.1
sox "$tmp/stereo.wav" "$tmp/short.wav" trim 0.35 0.85

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

# mp3 SOURCE RATE NAME OPTION...: an MP3.
mp3() {
	source=$1 rate=$2 name=$3
	shift 3
	sox "$source" -r "$rate" -b 16 "$tmp/at.wav"
	lame --quiet --resample "$((rate / 1000)).$((rate % 1000))" "$@" "$tmp/at.wav" "$name.mp3"
	heard "$name"
}
heard() { mpg123 -q --no-gapless -e s16 -w "$1.pcm.wav" "$1.mp3"; }
mp3 "$tmp/mono.wav" 8000 mp3-8-mono -b 16
mp3 "$tmp/short.wav" 8000 mp3-8-stereo -b 24 -m s
mp3 "$tmp/mono.wav" 11025 mp3-11-vbr -V 6
mp3 "$tmp/mono.wav" 12000 mp3-12-crc -b 16 -p
mp3 "$tmp/mono.wav" 16000 mp3-16-mono -b 16 -t
mp3 "$tmp/short.wav" 22050 mp3-22-joint -b 40 -m j
sox "$tmp/mono.wav" "$tmp/half.wav" trim 0.45
mp3 "$tmp/half.wav" 44100 mp3-44-mono -b 48
mp3 "$tmp/short.wav" 32000 mp3-32-joint -b 64 -m j

# LAME writes no intensity stereo, so it is put into the headers of frames of
# joint stereo, all of one length: where the right channel is silent, its scale
# factors become directions. In MPEG 2 they are then read in another way, and the
# rest sounds otherwise.
# intensity RATE KILOBITS FRAME NAME
intensity() {
	sox "$tmp/stereo.wav" -r "$1" -b 16 "$tmp/at.wav" remix 1 1v0.3 trim 0 0.7
	lame --quiet --resample "$(($1 / 1000))" -b "$2" -m j -t "$tmp/at.wav" "$tmp/joint.mp3"
	perl -0777 -pe "s/(.{3})(.)(.{$(($3 - 4))})/\$1.chr(ord(\$2)|0x10).\$3/sge" "$tmp/joint.mp3" >"$4.mp3"
	heard "$4"
}
intensity 24000 32 96 mp3-24-intensity
intensity 48000 64 192 mp3-48-intensity

# wild VERSION RATE EXTENSION NAME: an MP3 of wild.pl.
wild() {
	./wild.pl "$1" "$2" "$3" 8 >"$4.mp3"
	heard "$4"
}
wild 3 0 3 mp3-wild-44
wild 2 0 2 mp3-wild-22
wild 0 2 2 mp3-wild-8
