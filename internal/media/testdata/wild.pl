#!/usr/bin/perl
# wild.pl VERSION RATE MODE FRAMES: an MP3 of random content, of all types of
# blocks and tables. Whatever bits a spectrum is made of, they are codes, as long
# as there are enough of them. VERSION, RATE and MODE (the extension of joint
# stereo) are as in a header: 3 is MPEG 1, 2 MPEG 2, 0 MPEG 2.5.
use strict;
use warnings;

my ($version, $rate, $extension, $frames) = @ARGV;
srand(610);
my $first = $version == 3;
my ($channels, $granules) = (2, $first ? 2 : 1);
my $hertz = ([11025, 12000, 8000], [], [22050, 24000, 16000], [44100, 48000, 32000])[$version][$rate];
my $bytes = int($first ? 144 * 256_000 / $hertz : 72 * 128_000 / $hertz);    # bit rate index 12 or 13

sub bits { my ($v, $n) = @_; return substr(unpack('B32', pack('N', $v)), 32 - $n) }
sub any { return int(rand($_[0])) }
sub table { my $t = any(32); return $t == 4 || $t == 14 ? table() : $t }

for (1 .. $frames) {
	my $frame = bits(0x7FF, 11) . bits($version, 2) . '011' . bits($first ? 13 : 12, 4) . bits($rate, 2) . '0001' . bits($extension, 2) . '0000';
	$frame .= $first ? '0' x 12 . bits(any(256), 8) : '0' x 10;
	my $main = 8 * $bytes - 32 - 8 * ($first ? 32 : 17);
	my $length = int($main / $channels / $granules);
	$length = 4095 if $length > 4095;
	for (1 .. $granules) {
		my ($type, $mixed) = (any(4), any(2));    # joint stereo is of the same blocks
		for (1 .. $channels) {
			my $pairs = any(int(($length - 160) / 47));    # so many fit at their longest
			$pairs = 288 if $pairs > 288;
			$frame .= bits($length, 12) . bits($pairs, 9) . bits(110 + any(30), 8);
			$frame .= $first ? bits(any(16), 4) : bits(any(512), 9);
			if ($type > 0) {
				$frame .= '1' . bits($type, 2) . $mixed . bits(table(), 5) . bits(table(), 5);
				$frame .= bits(any(8), 3) for 1 .. 3;
			} else {
				$frame .= '0' . bits(table(), 5) . bits(table(), 5) . bits(table(), 5) . bits(any(128), 7);
			}
			$frame .= any(2) for 1 .. ($first ? 3 : 2);
		}
	}
	$frame .= any(2) while length($frame) < 8 * $bytes;
	print pack('B*', $frame);
}
