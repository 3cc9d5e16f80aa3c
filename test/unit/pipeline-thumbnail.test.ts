import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { makeThumbnails } from '../../src/pipeline/thumbnail.ts';
import { LargeImageError, MAX_IMAGE_BYTES, UnusableImageError } from '../../src/pipeline/thumbnail-terms.ts';
import { bombPng } from '../support/bomb-png.ts';

const RED = { r: 220, g: 20, b: 20 };
const BLUE = { r: 20, g: 20, b: 220 };

const MIB = 1024 * 1024;

function makeWithin(image: Buffer, decodeUpToBytes = 256 * MIB) {
  return makeThumbnails(image, decodeUpToBytes);
}

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
  const { thumbnails } = await makeWithin(image);
  return thumbnails[0]?.bytes ?? Buffer.alloc(0);
}

async function problemOf(image: Buffer): Promise<string> {
  try {
    await makeWithin(image);
  } catch (error) {
    assert.ok(error instanceof UnusableImageError, String(error));
    return error.problem;
  }
  return assert.fail('thumbnails were made');
}

test('a photo becomes two WebP images that fit their squares, and its own size is told', async () => {
  const made = await makeWithin(await twoHalves(1600, 1200).jpeg().toBuffer());
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
  const made = await makeWithin(await twoHalves(200, 10).png().toBuffer());
  assert.deepEqual(
    made.thumbnails.map(({ width, height }) => [width, height]),
    [
      [128, 6],
      [200, 10],
    ],
  );
  const dot = await makeWithin(await twoHalves(2, 1).png().toBuffer());
  assert.deepEqual(
    dot.thumbnails.map(({ width, height }) => [width, height]),
    [
      [2, 1],
      [2, 1],
    ],
  );
});

test('a very long image keeps at least one pixel of its short side', async () => {
  const { thumbnails } = await makeWithin(await twoHalves(3000, 2).png().toBuffer());
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
    const made = await makeWithin(photo);
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
  for (const { bytes } of (await makeWithin(photo)).thumbnails) {
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
    const made = await makeWithin(animated);
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
  await makeWithin(photo);
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
  const bomb = bombPng({ width: 20_000, height: 20_000, depth: 1, interlaced: false });
  assert.ok(bomb.length < 100_000);
  assert.match(await problemOf(bomb), /pixels/);
});

test('a file above 100 MiB is turned away', async () => {
  assert.match(await problemOf(Buffer.alloc(MAX_IMAGE_BYTES + 1)), /101 MiB/);
});

for (const [what, wishes, expectedMib] of [
  ['an interlaced PNG of 16 bits', {}, 618],
  ['a PNG of 16 bits that goes by in rows', { interlaced: false }, 618],
  ['an interlaced PNG of one bit', { depth: 1 }, 78],
] as const) {
  test(`${what} is measured by its header, and nothing of it is decoded`, async () => {
    const image = bombPng({ width: 9_000, height: 9_000, ...wishes });
    await assert.rejects(makeWithin(image, MIB), (error) => {
      assert.ok(error instanceof LargeImageError, String(error));
      assert.equal(Math.ceil(error.size.decodedBytes / MIB), expectedMib);
      return true;
    });
  });
}

for (const [what, encode, bytesPerPixel] of [
  ['a JPEG of one scan, which is shrunk while it is read', () => twoHalves(4_200, 2_000).jpeg(), 3 / 16],
  ['a progressive JPEG 4:2:0', () => twoHalves(4_200, 2_000).jpeg({ progressive: true }), 3 + 3 / 16],
  [
    'a progressive JPEG 4:4:4',
    () => twoHalves(4_200, 2_000).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }),
    6 + 3 / 16,
  ],
  ['WebP', () => twoHalves(1_000, 1_000).webp(), 4],
  ['GIF', () => twoHalves(1_000, 1_000).gif(), 4],
  [
    'TIFF of 16 bits',
    () => twoHalves(1_000, 1_000).removeAlpha().toColourspace('rgb16').tiff({ compression: 'deflate' }),
    6,
  ],
  ['AVIF, whose decoder has frames of its own', () => twoHalves(1_000, 1_000).removeAlpha().avif({ effort: 0 }), 18],
] as const) {
  test(`${what}: about ${bytesPerPixel} bytes a pixel`, async () => {
    const image = await encode().toBuffer();
    await assert.rejects(makeWithin(image, 1_000), (error) => {
      assert.ok(error instanceof LargeImageError, String(error));
      const { width, height, decodedBytes } = error.size;
      assert.equal(decodedBytes, Math.ceil(width * height * bytesPerPixel));
      return true;
    });
  });
}

test('of an animation only the first frame counts', async () => {
  const frames = await Promise.all(
    [RED, BLUE, RED].map((background) =>
      sharp({ create: { width: 500, height: 500, channels: 3, background } })
        .png()
        .toBuffer(),
    ),
  );
  const animated = await sharp(frames, { join: { animated: true } })
    .webp()
    .toBuffer();
  assert.equal((await makeWithin(animated, 500 * 500 * 4)).width, 500);
});

test('what is no image of ours is not read, whatever the decoder could do with it', async () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>';
  assert.match(await problemOf(Buffer.from(svg)), /could not be read/);
});
