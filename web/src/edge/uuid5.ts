// The id that the box gives a record made on this phone: UUIDv5 of the entry's key (RFC 9562 section 5.5), so that what
// belongs to it can be entered before the box has it. Own SHA-1, because a page over plain HTTP has no crypto.subtle.
// Never used for anything secret.

function sha1(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil((bytes.length + 9) / 64);
  const padded = new Uint8Array(blocks * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  new DataView(padded.buffer).setUint32(padded.length - 4, bytes.length * 8);
  const turn = (value: number, by: number) => (value << by) | (value >>> (32 - by));
  let [h0, h1, h2, h3, h4] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  for (let block = 0; block < blocks; block += 1) {
    const view = new DataView(padded.buffer, block * 64, 64);
    const words = Array.from({ length: 16 }, (_, index) => view.getInt32(index * 4));
    for (let index = 16; index < 80; index += 1) {
      const [a = 0, b = 0, c = 0, d = 0] = [words[index - 3], words[index - 8], words[index - 14], words[index - 16]];
      words.push(turn(a ^ b ^ c ^ d, 1));
    }
    let [a, b, c, d, e] = [h0, h1, h2, h3, h4];
    for (let index = 0; index < 80; index += 1) {
      const [f, k] =
        index < 20
          ? [(b & c) | (~b & d), 0x5a827999]
          : index < 40
            ? [b ^ c ^ d, 0x6ed9eba1]
            : index < 60
              ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
              : [b ^ c ^ d, 0xca62c1d6];
      const next = (turn(a, 5) + f + e + k + (words[index] ?? 0)) | 0;
      [e, d, c, b, a] = [d, c, turn(b, 30), a, next];
    }
    [h0, h1, h2, h3, h4] = [(h0 + a) | 0, (h1 + b) | 0, (h2 + c) | 0, (h3 + d) | 0, (h4 + e) | 0];
  }
  const out = new Uint8Array(20);
  const view = new DataView(out.buffer);
  [h0, h1, h2, h3, h4].forEach((word, index) => view.setInt32(index * 4, word));
  return out;
}

/** UUIDv5 of `name` in the name space `key`. */
export function uuid5(key: string, name: string): string {
  const space = key.replaceAll("-", "").match(/../g) ?? [];
  const bytes = new Uint8Array([...space.map((pair) => Number.parseInt(pair, 16)), ...new TextEncoder().encode(name)]);
  const hash = sha1(bytes).slice(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
