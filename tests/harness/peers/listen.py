"""What pocketsphinx hears in a WAV file, when it knows the sentences that could be said: `attention`, a
severity, and one of the titles given after the file. Prints what it heard on the last line."""

import sys
import wave

from pocketsphinx import Decoder

RATE = 16000


def grammar(titles):
    return (
        "#JSGF V1.0;\ngrammar announcements;\n"
        "<severity> = low | medium | high | critical;\n"
        f"<title> = {' | '.join(titles)};\n"
        "public <announcement> = attention <severity> <title>;\n"
    )


def samples_of(path):
    with wave.open(path, "rb") as sound:
        assert sound.getnchannels() == 1 and sound.getsampwidth() == 2
        rate, frames = sound.getframerate(), sound.readframes(sound.getnframes())
    samples = memoryview(frames).cast("h")
    # To the rate that the model wants, by the straight line between neighbours: speech stands it.
    out = bytearray()
    for at in range(int(len(samples) * RATE / rate)):
        place = at * rate / RATE
        left = int(place)
        right, share = min(left + 1, len(samples) - 1), place - left
        value = int(samples[left] * (1 - share) + samples[right] * share)
        out += value.to_bytes(2, "little", signed=True)
    return bytes(out)


def main():
    path, titles = sys.argv[1], sys.argv[2:]
    decoder = Decoder(lm=None, samprate=float(RATE), loglevel="ERROR")
    unknown = {word for title in titles for word in title.split() if decoder.lookup_word(word) is None}
    if unknown:
        sys.exit(f"pocketsphinx does not know: {sorted(unknown)}")
    decoder.add_jsgf_string("announcements", grammar(titles))
    decoder.activate_search("announcements")
    decoder.start_utt()
    decoder.process_raw(samples_of(path), full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    print(heard.hypstr if heard else "")


if __name__ == "__main__":
    main()
