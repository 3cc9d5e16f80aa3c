import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { makeThumbnails } from '../../src/pipeline/thumbnail.ts';
import { MAX_IMAGE_BYTES, UnusableImageError } from '../../src/pipeline/thumbnail-terms.ts';

const RED = { r: 220, g: 20, b: 20 };
const BLUE = { r: 20, g: 20, b: 220 };

/** Left half red, right half blue. */
function twoHalves(width: number, height: number) {
  const left = Math.floor(width / 2);
  return sharp({ create: { width, height, channels: 3, background: BLUE } }).composite([
    { input: { create: { width: left, height, channels: 3, background: RED } }, left: 0, top: 0 },
  ]);
}

async function colourAt(image: Buffer, x: number, y: number): Promise<'red' | 'blue' | 'clear' | string> {
  const { data, info } = await sharp(image).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  const at = (Math.floor(y * (info.height - 1)) * info.width + Math.floor(x * (info.width - 1))) * 4;
  const [r = 0, g = 0, b = 0, a = 0] = data.subarray(at, at + 4);
  if (a < 30) return 'clear';
  if (r > b + 80) return 'red';
  if (b > r + 80) return 'blue';
  return `rgb(${r} ${g} ${b})`;
}

async function only128(image: Buffer): Promise<Buffer> {
  const { thumbnails } = await makeThumbnails(image);
  return thumbnails[0]?.bytes ?? Buffer.alloc(0);
}

async function problemOf(image: Buffer): Promise<string> {
  try {
    await makeThumbnails(image);
  } catch (error) {
    assert.ok(error instanceof UnusableImageError, String(error));
    return error.problem;
  }
  return assert.fail('thumbnails were made');
}

test('a photo becomes two WebP images that fit their squares, and its own size is told', async () => {
  const made = await makeThumbnails(await twoHalves(1600, 1200).jpeg().toBuffer());
  assert.equal(made.width, 1600);
  assert.equal(made.height, 1200);
  assert.deepEqual(
    made.thumbnails.map(({ size, width, height }) => [size, width, height]),
    [
      [128, 128, 96],
      [512, 512, 384],
    ],
  );
  for (const { bytes, width, height } of made.thumbnails) {
    const metadata = await sharp(bytes).metadata();
    assert.deepEqual([metadata.format, metadata.width, metadata.height], ['webp', width, height]);
    assert.equal(await colourAt(bytes, 0.1, 0.5), 'red');
    assert.equal(await colourAt(bytes, 0.9, 0.5), 'blue');
  }
});

test('an image smaller than the square is not enlarged', async () => {
  const made = await makeThumbnails(await twoHalves(200, 10).png().toBuffer());
  assert.deepEqual(
    made.thumbnails.map(({ width, height }) => [width, height]),
    [
      [128, 6],
      [200, 10],
    ],
  );
  const dot = await makeThumbnails(await twoHalves(2, 1).png().toBuffer());
  assert.deepEqual(
    dot.thumbnails.map(({ width, height }) => [width, height]),
    [
      [2, 1],
      [2, 1],
    ],
  );
});

test('a very long image keeps at least one pixel of its short side', async () => {
  const { thumbnails } = await makeThumbnails(await twoHalves(3000, 2).png().toBuffer());
  assert.deepEqual(
    thumbnails.map(({ width, height }) => [width, height]),
    [
      [128, 1],
      [512, 1],
    ],
  );
});

for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`EXIF orientation ${orientation} is turned upright, by the same rule as sharp’s own`, async () => {
    // Four corners of which each has another colour, so that a turn cannot be mistaken for a mirror.
    const corner = (colour: object, left: number, top: number) => ({
      input: { create: { width: 400, height: 200, channels: 3 as const, background: colour as typeof RED } },
      ...{ left, top },
    });
    const photo = await sharp({ create: { width: 800, height: 400, channels: 3, background: '#ffffff' } })
      .composite([corner(RED, 0, 0), corner(BLUE, 400, 0), corner({ r: 20, g: 220, b: 20 }, 0, 200)])
      .jpeg()
      .withMetadata({ orientation })
      .toBuffer();
    const made = await makeThumbnails(photo);
    const turned = orientation >= 5;
    assert.deepEqual([made.width, made.height], turned ? [400, 800] : [800, 400]);
    const [small] = made.thumbnails;
    assert.deepEqual([small?.width, small?.height], turned ? [64, 128] : [128, 64]);
    const expected = await sharp(photo).autoOrient().png().toBuffer();
    for (const [x, y] of [
      [0.2, 0.2],
      [0.8, 0.2],
      [0.2, 0.8],
      [0.8, 0.8],
    ] as const) {
      const seen = await pixelAt(small?.bytes ?? Buffer.alloc(0), x, y);
      const wanted = await pixelAt(expected, x, y);
      for (const channel of [0, 1, 2]) {
        assert.ok(Math.abs((seen[channel] ?? 0) - (wanted[channel] ?? 0)) < 40, `at ${x},${y}: ${seen} for ${wanted}`);
      }
    }
  });
}

async function pixelAt(image: Buffer, x: number, y: number): Promise<number[]> {
  const { data, info } = await sharp(image).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const at = (Math.floor(y * info.height) * info.width + Math.floor(x * info.width)) * 3;
  return [...data.subarray(at, at + 3)];
}

test('where and with what a photo was taken does not get into its thumbnails', async () => {
  const photo = await twoHalves(300, 200)
    .jpeg()
    .withExif({ IFD0: { Copyright: 'SECRET OWNER', Model: 'SECRET CAMERA' }, IFD3: { GPSLatitudeRef: 'N' } })
    .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"><!--SECRET--></x:xmpmeta>')
    .withIccProfile('p3')
    .toBuffer();
  assert.ok(photo.includes('SECRET OWNER'));
  for (const { bytes } of (await makeThumbnails(photo)).thumbnails) {
    const { exif, xmp, icc, iptc, orientation } = await sharp(bytes).metadata();
    assert.deepEqual(
      { exif, xmp, icc, iptc, orientation },
      {
        ...{ exif: undefined, xmp: undefined, icc: undefined, iptc: undefined, orientation: undefined },
      },
    );
    assert.ok(!bytes.includes('SECRET'));
  }
});

test('what is transparent stays transparent', async () => {
  const logo = await sharp({
    create: { width: 600, height: 600, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
  })
    .composite([{ input: { create: { width: 300, height: 600, channels: 3, background: RED } }, left: 0, top: 0 }])
    .png()
    .toBuffer();
  const small = await only128(logo);
  assert.equal(await colourAt(small, 0.2, 0.5), 'red');
  assert.equal(await colourAt(small, 0.9, 0.5), 'clear');
});

for (const format of ['gif', 'webp'] as const) {
  test(`of an animated ${format} the first frame is taken`, async () => {
    const frame = (background: typeof RED) =>
      sharp({ create: { width: 300, height: 200, channels: 3, background } })
        .png()
        .toBuffer();
    const animated = await sharp([await frame(RED), await frame(BLUE)], { join: { animated: true } })
      .toFormat(format)
      .toBuffer();
    assert.equal((await sharp(animated).metadata()).pages, 2);
    const made = await makeThumbnails(animated);
    assert.deepEqual([made.width, made.height], [300, 200]);
    for (const { bytes } of made.thumbnails) {
      assert.equal((await sharp(bytes).metadata()).pages ?? 1, 1);
      assert.equal(await colourAt(bytes, 0.5, 0.5), 'red');
    }
  });
}

for (const [name, encode] of [
  ['16 bit PNG', () => twoHalves(700, 500).toColourspace('rgb16').png()],
  ['palette PNG', () => twoHalves(700, 500).png({ palette: true })],
  ['interlaced PNG', () => twoHalves(700, 500).png({ progressive: true })],
  ['CMYK JPEG', () => twoHalves(700, 500).toColourspace('cmyk').jpeg()],
  ['progressive JPEG', () => twoHalves(700, 500).jpeg({ progressive: true })],
  ['JPEG in Display P3', () => twoHalves(700, 500).jpeg().withIccProfile('p3')],
  ['AVIF', () => twoHalves(700, 500).avif({ effort: 0 })],
  ['TIFF', () => twoHalves(700, 500).tiff()],
  ['lossless WebP', () => twoHalves(700, 500).webp({ lossless: true })],
] as const) {
  test(`${name}: readable, right way round, in its colours`, async () => {
    const image = await encode().toBuffer();
    if (name === 'CMYK JPEG') assert.equal((await sharp(image).metadata()).space, 'cmyk');
    if (name === '16 bit PNG') assert.equal((await sharp(image).metadata()).depth, 'ushort');
    const small = await only128(image);
    assert.equal((await sharp(small).metadata()).format, 'webp');
    assert.equal(await colourAt(small, 0.1, 0.5), 'red');
    assert.equal(await colourAt(small, 0.9, 0.5), 'blue');
  });
}

test('a grey image stays grey', async () => {
  const grey = await sharp({ create: { width: 300, height: 300, channels: 3, background: '#808080' } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
  assert.equal((await sharp(grey).metadata()).channels, 1);
  assert.deepEqual(
    (await pixelAt(await only128(grey), 0.5, 0.5)).map((value) => Math.abs(value - 128) < 4),
    [true, true, true],
  );
});

test('a JPEG that was cut short is broken, and says so in a sentence', async () => {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  const photo = await sharp({ create: { width: 900, height: 900, channels: 3, background: RED, noise } })
    .jpeg()
    .toBuffer();
  await makeThumbnails(photo);
  assert.match(await problemOf(photo.subarray(0, photo.length / 2)), /could not be read/);
  assert.match(await problemOf(photo.subarray(0, 30)), /could not be read/);
});

test('what is no image is none', async () => {
  assert.match(await problemOf(Buffer.from('not at all an image, but long enough to look at')), /could not be read/);
  assert.match(await problemOf(Buffer.alloc(0)), /could not be read/);
  const pngHead = Buffer.from('89504e470d0a1a0a', 'hex');
  assert.match(await problemOf(Buffer.concat([pngHead, Buffer.alloc(500)])), /could not be read/);
});

test('a small file that claims to unfold into 400 megapixels is turned away unread', async () => {
  const bomb = blackPng(20_000, 20_000);
  assert.ok(bomb.length < 100_000);
  assert.match(await problemOf(bomb), /pixels/);
});

test('a file above 100 MiB is turned away', async () => {
  assert.match(await problemOf(Buffer.alloc(MAX_IMAGE_BYTES + 1)), /101 MiB/);
});

/** One bit a pixel, so that even a huge one is written fast. */
function blackPng(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const rows = Buffer.alloc((Math.ceil(width / 8) + 1) * height);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(rows)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}
