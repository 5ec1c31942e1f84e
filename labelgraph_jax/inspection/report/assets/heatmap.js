const NAMED = 40;
const NAME_FONT = "11px system-ui, sans-serif";

// The least and the largest size of a weight beside the diagonal; 0 where signs differ.
function range(weights, n) {
  let [least, most, negative] = [Infinity, 0, false];
  for (let i = 0; i < n * n; i += 1) {
    if (n > 1 && i % n === Math.floor(i / n)) continue;
    const size = Math.abs(weights[i]);
    negative = negative || weights[i] < 0;
    least = Math.min(least, size);
    most = Math.max(most, size);
  }
  return [negative || !Number.isFinite(least) ? 0 : least, most];
}

// A matrix as colours; `say(row, column, weight)` puts a cell into words.
function heatMap(place, say, choose) {
  const canvas = element("canvas", null, { role: "img" });
  const words = element("output");
  place.append(canvas, words);
  let names = [];
  let weights = new Float32Array(0);
  let hint = "";
  let edge = { left: 0, below: 0 };

  // Room for the names of few labels: rows on the left, columns below.
  function margins(width) {
    const n = names.length;
    if (n > NAMED || width / n < 13) return { left: 0, below: 0 };
    const context = canvas.getContext("2d");
    context.font = NAME_FONT;
    const longest = Math.max(...names.map((name) => context.measureText(name).width));
    const room = Math.min(longest, 0.28 * width) + 8;
    return { left: room, below: room };
  }

  function cut(context, name, room) {
    let text = name;
    while (text.length > 1 && context.measureText(text).width > room) {
      text = `${text.slice(0, text.endsWith("…") ? -2 : -1)}…`;
    }
    return text;
  }

  function writeNames(context, side) {
    const step = side / names.length;
    context.font = NAME_FONT;
    context.fillStyle = colour("--muted");
    context.textBaseline = "middle";
    context.textAlign = "right";
    names.forEach((name, i) => {
      const text = cut(context, name, edge.left - 6);
      context.fillText(text, edge.left - 6, (i + 0.5) * step);
      context.save();
      context.translate(edge.left + (i + 0.5) * step, side + 6);
      context.rotate(-Math.PI / 2);
      context.fillText(text, 0, 0);
      context.restore();
    });
  }

  function channels(text) {
    const probe = document.createElement("canvas").getContext("2d");
    probe.canvas.width = probe.canvas.height = 1;
    probe.fillStyle = text;
    probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  }

  function draw() {
    const n = names.length;
    if (!n) return;
    const full = canvas.getBoundingClientRect().width;
    edge = margins(full);
    canvas.style.height = `${full - edge.left + edge.below}px`;
    const [least, most] = range(weights, n);
    const [ground, up, down] = ["--soft", "--accent", "--c1"].map(
      (name) => channels(colour(name)),
    );
    const image = new ImageData(n, n);
    for (let i = 0; i < n * n; i += 1) {
      const share = most > least
        ? Math.sqrt(Math.min(1, Math.max(0, (Math.abs(weights[i]) - least) / (most - least))))
        : Number(weights[i] !== 0);
      const tone = weights[i] < 0 ? down : up;
      for (let c = 0; c < 3; c += 1) {
        image.data[4 * i + c] = ground[c] + share * (tone[c] - ground[c]);
      }
      image.data[4 * i + 3] = 255;
    }
    const small = element("canvas");
    small.width = small.height = n;
    small.getContext("2d").putImageData(image, 0, 0);
    sharp(canvas, (context, width) => {
      const side = width - edge.left;
      context.imageSmoothingEnabled = false;
      context.drawImage(small, edge.left, 0, side, side);
      if (edge.left) writeNames(context, side);
    });
    canvas.dataset.most = most;
  }

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const n = names.length;
    const clamp = (x) => Math.max(0, Math.min(n - 1, Math.floor(x * n)));
    const side = box.width - edge.left;
    return [
      clamp((event.clientY - box.top) / side),
      clamp((event.clientX - box.left - edge.left) / side),
    ];
  }

  canvas.addEventListener("pointermove", (event) => {
    const [i, j] = cellAt(event);
    words.textContent = say(names[i], names[j], weights[i * names.length + j]);
  });
  canvas.addEventListener("pointerleave", () => { words.textContent = hint; });
  canvas.addEventListener("click", (event) => {
    if (choose) choose(cellAt(event)[0]);
  });

  return {
    draw,
    set(newNames, newWeights, title, newHint) {
      names = newNames;
      weights = newWeights;
      const [least, most] = range(weights, names.length);
      hint = `${newHint}; colours from ${shown(least)} to ${shown(most)}`;
      words.textContent = hint;
      canvas.setAttribute("aria-label", title);
      draw();
    },
  };
}
