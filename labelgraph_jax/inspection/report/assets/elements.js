const byId = (id) => document.getElementById(id);

// Text is only ever put in as text: no string becomes markup.
function element(tag, text, attributes) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes || {})) {
    made.setAttribute(name, value);
  }
  return made;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function clusterColour(cluster) {
  return colour(cluster >= 0 ? `--c${cluster}` : "--muted");
}

function shown(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  return size >= 100 ? value.toFixed(0) : value.toFixed(digits);
}

const whole = (value) => value.toLocaleString("en-US");

// q = 32767 sign(w) sqrt(|w| / most), see the page's maker.
function unpack(view) {
  const bytes = Uint8Array.from(atob(view.weights), (sign) => sign.charCodeAt(0));
  const small = new DataView(bytes.buffer);
  const weights = new Float32Array(bytes.length / 2);
  for (let i = 0; i < weights.length; i += 1) {
    const root = small.getInt16(2 * i, true) / 32767;
    weights[i] = Math.sign(root) * root * root * view.most;
  }
  return weights;
}

// A canvas as sharp as the screen; `draw(context, width, height)` in CSS pixels.
function sharp(canvas, draw) {
  const box = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(box.width * scale));
  const height = Math.max(1, Math.round(box.height * scale));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  draw(context, box.width, box.height);
}
