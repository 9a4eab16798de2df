package archive_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"callvault/archive"
)

// mp3 returns frames of MPEG-2.5 layer III, 8 kHz, 16 kbit/s, as TeleCMI's.
func mp3(frames int) []byte {
	frame := make([]byte, 144)
	copy(frame, "\xff\xe3\x28\xc4")
	return bytes.Repeat(frame, frames)
}

func wav() []byte {
	b := []byte("RIFF\x24\x10\x00\x00WAVEfmt \x10\x00\x00\x00\x06\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data")
	return append(binary.LittleEndian.AppendUint32(b, 4096), bytes.Repeat([]byte{0xd5}, 4096)...)
}

func padded(start string) []byte { return append([]byte(start), make([]byte, 200)...) }

func utf16Text(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func TestSniff(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	kept := func(mediaType, extension string) archive.Content {
		return archive.Content{Verdict: archive.Audio, MediaType: mediaType, Extension: extension}
	}
	later := func(mediaType string) archive.Content { return archive.Content{MediaType: mediaType} }
	refused := func(mediaType string) archive.Content {
		return archive.Content{Verdict: archive.Refused, MediaType: mediaType}
	}
	page := "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
	noise := []byte(strings.Repeat("\x8f\x01\xfe\x42\x7f\x93\x11", 100))
	tests := []struct {
		name     string
		head     []byte
		declared string
		want     archive.Content
	}{
		{"WAV", wav(), "audio/x-wav", kept("audio/wav", ".wav")},
		{"WAV called text", wav(), "text/html", kept("audio/wav", ".wav")},
		{"MPEG-2.5", mp3(20), "audio/mpeg", kept("audio/mpeg", ".mp3")},
		{"MPEG-1", bytes.Repeat(append([]byte("\xff\xfb\x90\x64"), make([]byte, 413)...), 5), "", kept("audio/mpeg", ".mp3")},
		{"MPEG-1 layer II", bytes.Repeat(append([]byte("\xff\xfd\x80\x64"), make([]byte, 413)...), 5), "", kept("audio/mpeg", ".mp3")},
		{"MPEG-2 layer III without a checksum bit", bytes.Repeat(append([]byte("\xff\xf3\x28\xc4"), make([]byte, 68)...), 20), "", kept("audio/mpeg", ".mp3")},
		{"RF64", padded("RF64\xff\xff\xff\xffWAVEds64"), "", kept("audio/wav", ".wav")},
		{"MP3 with ID3", append([]byte("ID3\x04\x00\x00\x00\x00\x00\x0aTSSE\x00\x00\x00\x00\x00\x00"), mp3(20)...), "", kept("audio/mpeg", ".mp3")},
		{"MP3 behind padding", append(make([]byte, 100), mp3(20)...), "", kept("audio/mpeg", ".mp3")},
		{"Ogg Opus", padded("OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x13OpusHead\x01\x01"), "", kept("audio/ogg", ".ogg")},
		{"Ogg Vorbis", padded("OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1e\x01vorbis"), "", kept("audio/ogg", ".ogg")},
		{"FLAC", padded("fLaC\x00\x00\x00\x22"), "", kept("audio/flac", ".flac")},
		{"M4A", padded("\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom"), "", kept("audio/mp4", ".m4a")},
		{"MP4", padded("\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2mp41"), "", kept("audio/mp4", ".m4a")},
		{"3GP", padded("\x00\x00\x00\x18ftyp3gp4\x00\x00\x00\x003gp4"), "", kept("audio/3gpp", ".3gp")},
		{"AMR", padded("#!AMR\n\x3c"), "", kept("audio/amr", ".amr")},
		{"AU", padded(".snd\x00\x00\x00\x18"), "", kept("audio/basic", ".au")},
		{"AAC", padded("\xff\xf1\x50\x80"), "", kept("audio/aac", ".aac")},
		{"AIFF", padded("FORM\x00\x00\x10\x00AIFFCOMM"), "", kept("audio/aiff", ".aiff")},
		{"GSM", bytes.Repeat(append([]byte{0xd2}, noise[:32]...), 50), "", kept("audio/gsm", ".gsm")},
		{"µ-law", noise, "audio/basic", kept("audio/basic", ".ul")},
		{"A-law", noise, "audio/PCMA; rate=8000", kept("audio/pcma", ".al")},

		{"empty", nil, "audio/wav", later("text/plain")},
		{"HTML", []byte(page), "audio/mpeg", later("text/html")},
		{"HTML, long", []byte(page + strings.Repeat(" ", 8000)), "audio/wav", later("text/html")},
		{"HTML behind space", []byte(" \r\n\t<html><body>x"), "audio/basic", later("text/html")},
		{"JSON", []byte(`{"code":502,"msg":"Internal Server Error"}`), "application/json", later("application/json")},
		{"JSON, cut", []byte(`{"code":407,"error":true,"msg":"Auth`), "audio/mpeg", later("text/plain")},
		{"XML", []byte(`<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>`), "", later("text/xml")},
		{"text", []byte("No recorded File"), "audio/wav", later("text/plain")},
		{"text, UTF-16", utf16Text(strings.Repeat("not found ", 20)), "audio/mpeg", later("text/plain")},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg"></svg>`), "", later("image/svg+xml")},
		{"playlist", []byte("#EXTM3U\nhttp://x/y.mp3\n"), "audio/mpegurl", later("application/vnd.apple.mpegurl")},
		{"zeros", make([]byte, 4096), "audio/basic", later("application/octet-stream")},
		{"noise", noise, "audio/mpeg", later("application/octet-stream")},
		{"noise undeclared", noise, "", later("application/octet-stream")},
		{"WAV header alone", wav()[:44], "audio/wav", later("audio/wav")},
		{"MP3 of one frame's beginning", mp3(1)[:20], "audio/mpeg", later("audio/mpeg")},

		{"PNG", padded("\x89PNG\r\n\x1a\n"), "audio/mpeg", refused("image/png")},
		{"JPEG", padded("\xff\xd8\xff\xe0\x00\x10JFIF"), "audio/mpeg", refused("image/jpeg")},
		{"GIF of one pixel", []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"), "", refused("image/gif")},
		{"PDF", []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"), "audio/wav", refused("application/pdf")},
		{"ZIP", padded("PK\x03\x04\x14\x00\x00\x00\x08\x00"), "audio/wav", refused("application/zip")},
		{"gzip", padded("\x1f\x8b\x08\x00"), "audio/wav", refused("application/gzip")},
		{"RAR", padded("Rar!\x1a\x07\x01\x00"), "", refused("application/vnd.rar")},
		{"7z", padded("7z\xbc\xaf\x27\x1c\x00\x04"), "", refused("application/x-7z-compressed")},
		{"program", program[:4096], "audio/wav", refused("application/x-executable")},
		{"Windows program", padded("MZ\x90\x00\x03\x00\x00\x00"), "", refused("application/vnd.microsoft.portable-executable")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, archive.Sniff(tt.head, tt.declared)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzSniff(f *testing.F) {
	f.Add(wav(), "audio/wav")
	f.Add(mp3(10), "audio/mpeg; x")
	f.Add([]byte(`{"code":502}`), "application/json")
	f.Add([]byte("\xd2"), "audio/basic")
	f.Add([]byte(nil), "")
	f.Fuzz(func(t *testing.T, head []byte, declared string) {
		got := archive.Sniff(head, declared)
		if (got.Verdict == archive.Audio) != (got.Extension != "") {
			t.Errorf("%+v", got)
		}
		if got.Verdict == archive.Audio && !strings.HasPrefix(got.MediaType, "audio/") {
			t.Errorf("audio as %q", got.MediaType)
		}
		if got.MediaType == "" {
			t.Error("no media type")
		}
	})
}
