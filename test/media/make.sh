#!/usr/bin/env bash
# Makes the recording that demonstration and tests use: one minute of a practice exam that nobody sat.
#
#   test/media/make.sh [DIR]     writes webcam.webm, screen.webm and events.ndjson (default: beside this script)
#
# Needs Debian's ffmpeg (with libvpx, libopus and the flite voice) and the DejaVu fonts. Live WebM, as a browser's MediaRecorder makes it:
# no duration, no index, a cluster at least every two seconds, so that it can be cut anywhere and still be played as it comes in.
set -euo pipefail
out=$(cd "${1:-$(dirname "$0")}" && pwd)
font=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
mono=/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf
seconds=60
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# No encoder writes a date or its name: the same packages give the same bytes.
exact=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 -threads 1)
live=(-f webm -live 1 -cluster_time_limit 2000)

speech='Question one. A train leaves the station at nine and travels at eighty kilometres an hour. Hm. So, after two and a half hours, that makes two hundred.
Question two. I think it is the second answer. No. Wait. If the water is cooled, the volume shrinks first, and then it grows again below four degrees.
Question three asks for a reason. I will write that down slowly. Density has its maximum at four degrees, because the hydrogen bonds open up the structure before it freezes.
I have read everything again. I am finished now.'
printf '%s' "$speech" > "$work/speech.txt"

# A figure in front of a wall: it sways, it nods, and between 34 and 38 seconds it looks away from the screen.
away='between(T,34,38)'
head_x="160+14*sin(T*0.7)+46*$away"
head_y="92+4*sin(T*1.9)"
skin="lt(pow((X-($head_x))/34,2)+pow((Y-($head_y))/44,2),1)"
hair="lt(pow((X-($head_x))/37,2)+pow((Y-($head_y)+16)/38,2),1)*lt(Y,($head_y)-14)"
shirt="lt(pow((X-160-8*sin(T*0.7))/92,2)+pow((Y-236)/92,2),1)"
eyes="lt(pow((abs(X-($head_x)-16*$away)-13)/5,2)+pow((Y-($head_y)+6)/3.2,2),1)*gt(mod(T,3.7),0.16)"
mouth="lt(pow((X-($head_x)-10*$away)/11,2)+pow((Y-($head_y)-22)/(2+1.6*abs(sin(T*7))),2),1)"
ffmpeg -nostdin -v error -y \
  -f lavfi -i "color=c=gray:s=320x240:r=8:d=$seconds" \
  -f lavfi -i "flite=textfile=$work/speech.txt:voice=slt" \
  -filter_complex "[0:v]format=yuv444p,geq=\
lum='if($eyes,30,if($mouth,70,if($hair,45,if($skin,172,if($shirt,88,118+40*X/320)))))':\
cb='if($eyes,128,if($mouth,110,if($hair,120,if($skin,108,if($shirt,165,132)))))':\
cr='if($eyes,128,if($mouth,170,if($hair,134,if($skin,152,if($shirt,112,124)))))',\
noise=alls=5:allf=t:all_seed=7,format=yuv420p,\
drawtext=fontfile=$font:fontsize=13:fontcolor=white:x=8:y=220:text='webcam  %{pts\:hms}'[v];\
[1:a]adelay=2500,apad=whole_dur=$seconds,aresample=48000[a]" \
  -map '[v]' -map '[a]' -t $seconds -c:v libvpx -b:v 42k -g 16 -deadline good -cpu-used 2 \
  -c:a libopus -b:a 14k -ac 1 -application voip "${exact[@]}" "${live[@]}" "$out/webcam.webm"

# The screen: a paper with three questions; the answers are typed letter by letter, one is pasted.
line() { # TEXT Y FROM_SECOND LETTERS_PER_SECOND: draws as many letters as have been typed by then, at one frame's resolution
  local text=$1 y=$2 from=$3 rate=$4 length=${#1} i shown at until
  for ((i = 1; i <= length; i += 3)); do
    shown=${text:0:i+2}
    at=$(awk "BEGIN { print $from + $i / $rate }")
    until=$(awk "BEGIN { print ($i + 3 > $length) ? $seconds : $from + ($i + 3) / $rate }")
    printf "drawtext=fontfile=%s:fontsize=17:fontcolor=0x1a3f8f:x=60:y=%d:text='%s':enable='gte(t,%s)*lt(t,%s)'," "$mono" "$y" "$shown" "$at" "$until"
  done
}
heading() { printf "drawtext=fontfile=%s:fontsize=%d:fontcolor=0x202020:x=40:y=%d:text='%s'," "$font" "$1" "$2" "$3"; }
{
  printf 'drawbox=x=0:y=0:w=640:h=34:color=0x2d5d7b:t=fill,'
  printf "drawtext=fontfile=%s:fontsize=17:fontcolor=white:x=40:y=9:text='Practice exam   %%{pts\\\\:hms}'," "$font"
  heading 17 52 '1   80 km/h for two and a half hours. How far?'
  line '80 x 2.5 = 200 km' 82 8 3
  heading 17 132 '2   Water is cooled from 10 to 0 degrees. What happens?'
  line 'The volume shrinks, then grows below 4 degrees.' 162 19 4.5
  heading 17 212 '3   Give the reason.'
  line 'Hydrogen bonds open the structure.' 242 33 60
  line 'So density has its maximum at 4 degrees.' 272 41 4
  printf "drawtext=fontfile=%s:fontsize=15:fontcolor=0x7a2020:x=40:y=324:text='Press Submit when you are ready':enable='gte(t,53)'" "$font"
} > "$work/screen.filter"
ffmpeg -nostdin -v error -y -f lavfi -i "color=c=0xf7f5ef:s=640x360:r=4:d=$seconds" -filter_script:v "$work/screen.filter" \
  -c:v libvpx-vp9 -pix_fmt yuv420p -b:v 0 -crf 44 -g 40 -deadline good -cpu-used 3 -row-mt 0 "${exact[@]}" "${live[@]}" "$out/screen.webm"

# What the page saw; `t` is media time in milliseconds.
{
  cat <<'EVENTS'
{"t":0,"type":"start","page":"practice","screen":{"width":640,"height":360},"language":"en"}
{"t":40,"type":"visibility","state":"visible"}
{"t":41,"type":"focus","has":true}
{"t":2600,"type":"question","number":1}
EVENTS
  for i in $(seq 0 5); do printf '{"t":%d,"type":"input","question":1,"letters":%d}\n' $((8400 + i * 1000)) $((3 * (i + 1) > 17 ? 17 : 3 * (i + 1))); done
  echo '{"t":17300,"type":"question","number":2}'
  for i in $(seq 0 10); do printf '{"t":%d,"type":"input","question":2,"letters":%d}\n' $((19500 + i * 1000)) $(((i + 1) * 9 / 2 > 47 ? 47 : (i + 1) * 9 / 2)); done
  cat <<'EVENTS'
{"t":31200,"type":"question","number":3}
{"t":31950,"type":"focus","has":false}
{"t":31952,"type":"visibility","state":"hidden"}
{"t":32830,"type":"visibility","state":"visible"}
{"t":32833,"type":"focus","has":true}
{"t":33010,"type":"paste","question":3,"letters":34}
{"t":34100,"type":"gaze","direction":"right"}
{"t":38050,"type":"gaze","direction":"screen"}
EVENTS
  for i in $(seq 0 9); do printf '{"t":%d,"type":"input","question":3,"letters":%d}\n' $((41500 + i * 1000)) $((34 + (i + 1) * 4)); done
  for i in $(seq 1 5); do printf '{"t":%d,"type":"heartbeat","battery":%s}\n' $((i * 10000)) "0.$((90 - i))"; done
  cat <<'EVENTS'
{"t":53200,"type":"question","number":1}
{"t":54900,"type":"question","number":2}
{"t":56100,"type":"question","number":3}
{"t":59100,"type":"submit","answered":3}
EVENTS
} | sort -s -t: -k2,2n > "$out/events.ndjson"
