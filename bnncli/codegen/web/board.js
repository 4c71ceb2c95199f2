// A board of bits, 32 cells of a row in a word; channel 0 is what one sees.
class Board {
  constructor({ height, width, channels, wraps, fire }, compute) {
    Object.assign(this, { height, width, channels, wraps, fire, compute });
    this.row = (width + 31) >>> 5;
    this.last = (width - 1) & 31; // the place of a row's last cell in its last word
    this.mask = this.last === 31 ? -1 : (1 << (this.last + 1)) - 1;
    this.plane = (height + 1) * this.row; // below each channel lies a row of dead cells
    this.cells = new Int32Array(channels * this.plane);
    this.west = new Int32Array(this.cells.length);
    this.east = new Int32Array(this.cells.length);
    this.next = new Int32Array(this.cells.length);
    this.inputs = new Int32Array(9 * channels);
    this.outputs = new Int32Array(channels);
  }

  word(channel, y, x) {
    return channel * this.plane + y * this.row + (x >>> 5);
  }

  get(channel, y, x) {
    return (this.cells[this.word(channel, y, x)] >>> (x & 31)) & 1;
  }

  set(channel, y, x, alive) {
    const bit = 1 << (x & 31);
    const at = this.word(channel, y, x);
    this.cells[at] = alive ? this.cells[at] | bit : this.cells[at] & ~bit;
  }

  // Bit x of west is the cell to the left of x, bit x of east the one to its right.
  shift() {
    const { cells, row, last, mask, wraps } = this;
    for (let first = 0; first < cells.length; first += row) {
      const end = first + row - 1;
      let before = wraps ? (cells[end] >>> last) & 1 : 0;
      for (let at = first; at <= end; at++) {
        const after = at < end ? cells[at + 1] << 31 : 0;
        this.west[at] = (cells[at] << 1) | before;
        this.east[at] = (cells[at] >>> 1) | after;
        before = cells[at] >>> 31;
      }
      this.west[end] &= mask;
      if (wraps) this.east[end] |= (cells[first] & 1) << last;
    }
  }

  // One generation: of all cells, or where fires has a bit of 1 for each word of the board.
  step(fires = null) {
    const { height, row, channels, plane, cells, west, east, next, inputs, outputs } = this;
    this.shift();
    for (let y = 0; y < height; y++) {
      const above = (y > 0 ? y - 1 : this.wraps ? height - 1 : height) * row;
      const below = (y + 1 < height ? y + 1 : this.wraps ? 0 : height) * row;
      for (let k = 0; k < row; k++) {
        for (let channel = 0, i = 0; channel < channels; channel++) {
          for (const from of [above, y * row, below]) {
            const at = channel * plane + from + k;
            inputs[i++] = west[at];
            inputs[i++] = cells[at];
            inputs[i++] = east[at];
          }
        }
        this.compute(inputs, outputs);
        const allowed = fires ? fires[y * row + k] : -1;
        const inside = (k < row - 1 ? -1 : this.mask) & allowed;
        for (let channel = 0; channel < channels; channel++) {
          const at = channel * plane + y * row + k;
          next[at] = (outputs[channel] & inside) | (cells[at] & ~inside);
        }
      }
    }
    this.cells = next;
    this.next = cells;
  }

  // One generation in which each cell fires with its probability.
  advance(random) {
    this.step(this.fire < 1 ? this.firing(random) : null);
  }

  // Words whose bits are 1 with probability fire: one random word for each binary digit of it.
  firing(random) {
    const fires = new Int32Array(this.height * this.row);
    const digits = Math.round(this.fire * 65536);
    for (let at = 0; at < fires.length; at++) {
      for (let k = 0; k < 16; k++) {
        const word = random.word();
        fires[at] = (digits >>> k) & 1 ? fires[at] | word : fires[at] & word;
      }
    }
    return fires;
  }

  fill(value) {
    for (let channel = 0; channel < this.channels; channel++) {
      for (let y = 0; y < this.height; y++) {
        for (let x = 0; x < this.width; x++) this.set(channel, y, x, value(channel, y, x));
      }
    }
  }
}

// A rule by plain counting, a number for each cell: what the circuit is compared with.
class Rule {
  constructor({ height, width }, { born, survives, number }) {
    Object.assign(this, { height, width, born, survives, number });
    this.cells = new Uint8Array(height * width);
  }

  neighbours(y, x) {
    const { height, width, cells } = this;
    let count = 0;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (dy === 0 && dx === 0) continue;
        count += cells[((y + dy + height) % height) * width + ((x + dx + width) % width)];
      }
    }
    return count;
  }

  // Elementary rules: bit 4 left + 2 centre + right of the number.
  elementary(y, x) {
    const { width, cells } = this;
    const at = (place) => cells[y * width + ((place + width) % width)];
    return (this.number >>> (4 * at(x - 1) + 2 * at(x) + at(x + 1))) & 1;
  }

  step() {
    const next = new Uint8Array(this.cells.length);
    for (let y = 0, at = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++, at++) {
        if (this.number !== undefined) next[at] = this.elementary(y, x);
        else next[at] = (this.cells[at] ? this.survives : this.born).includes(this.neighbours(y, x));
      }
    }
    this.cells = next;
  }
}

// Marsaglia's xorshift of 32 bits: the same boards each time.
class Random {
  constructor(seed) {
    this.state = (Math.imul(seed, 0x9e3779b1) ^ 0x2545f491) | 1;
  }

  word() {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return this.state;
  }

  below(n) {
    return Math.floor(((this.word() >>> 0) / 4294967296) * n);
  }
}

// What runs: the circuit's board, beside it the rule's board or the picture that is wanted.
// A rule on a line has a board of one row; what one sees are its generations, one below the other.
class World {
  constructor(spec, compute) {
    this.spec = spec;
    this.random = new Random(spec.seed);
    const size = spec.history ? { ...spec, height: 1 } : spec;
    this.board = new Board(size, compute);
    this.rule = spec.rule ? new Rule(size, spec.rule) : null;
    this.wanted = spec.goal ? Uint8Array.from(spec.goal.join(""), Number) : null;
    this.restart();
  }

  begin(value) {
    this.generation = this.row = 0;
    this.board.fill(value);
    const { height, width } = this.spec;
    this.seen = new Uint8Array(height * width);
    this.ruled = new Uint8Array(height * width);
    if (this.rule) {
      const { cells } = this.rule;
      for (let at = 0; at < cells.length; at++) {
        cells[at] = this.board.get(0, Math.floor(at / width), at % width);
      }
    }
    this.record();
  }

  // Note the present row of a history.
  record() {
    if (!this.spec.history) return;
    const { width } = this.spec;
    for (let x = 0; x < width; x++) this.seen[this.row * width + x] = this.board.get(0, 0, x);
    this.ruled.set(this.rule.cells, this.row * width);
  }

  // What is shown at a place.
  cell(channel, y, x) {
    return this.spec.history ? this.seen[y * this.spec.width + x] : this.board.get(channel, y, x);
  }

  each(visit) {
    for (let y = 0, at = 0; y < this.spec.height; y++) {
      for (let x = 0; x < this.spec.width; x++) visit(at++, y, x);
    }
  }

  restart() {
    this.begin((channel, y, x) => +this.spec.start[channel][y][x]);
  }

  clear() {
    this.begin(() => 0);
  }

  randomize() {
    this.begin(() => this.random.below(1000) < 1000 * this.spec.density);
  }

  // Put a pattern, rows of 0 and 1, in the middle of an empty board.
  place(rows) {
    const top = (this.spec.height - rows.length) >> 1;
    const left = (this.spec.width - rows[0].length) >> 1;
    this.begin((channel, y, x) => channel === 0 && +(rows[y - top]?.[x - left] ?? 0));
  }

  // Change a cell; of a history the present row alone can be changed.
  set(y, x, alive) {
    if (this.spec.history && y !== this.row) return;
    const row = this.spec.history ? 0 : y;
    for (let channel = 0; channel < this.spec.channels; channel++) {
      this.board.set(channel, row, x, alive && channel === 0);
    }
    if (this.rule) this.rule.cells[row * this.spec.width + x] = alive;
    this.record();
  }

  // Erase a square somewhere on the board, in all channels.
  erase() {
    const side = Math.max(1, Math.round(Math.min(this.spec.height, this.spec.width) / 3));
    const top = this.spec.history ? this.row : this.random.below(this.spec.height - side + 1);
    const left = this.random.below(this.spec.width - side + 1);
    for (let y = top; y < top + side; y++) {
      for (let x = left; x < left + side; x++) this.set(y, x, 0);
    }
  }

  step() {
    this.board.advance(this.random);
    if (this.rule) this.rule.step();
    this.generation++;
    if (this.spec.history) this.scroll();
  }

  scroll() {
    const { height, width } = this.spec;
    if (this.row + 1 < height) this.row++;
    else for (const rows of [this.seen, this.ruled]) rows.copyWithin(0, width);
    this.record();
  }

  // What should be there; null where nothing is known.
  expected() {
    if (this.spec.history) return this.ruled;
    return this.rule ? this.rule.cells : this.wanted;
  }

  counts() {
    const expected = this.expected();
    let alive = 0;
    let differ = 0;
    this.each((at, y, x) => {
      const cell = this.cell(0, y, x);
      alive += cell;
      if (expected && cell !== expected[at]) differ++;
    });
    return { alive, differ };
  }
}
