// A matrix as colours; `say(row, column, weight)` puts a cell into words.
function heatMap(place, say, choose) {
  const canvas = element("canvas", null, { role: "img" });
  const words = element("output");
  place.append(canvas, words);
  let names = [];
  let weights = new Float32Array(0);
  let hint = "";

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
    canvas.style.height = `${canvas.getBoundingClientRect().width}px`;
    let most = 0;
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < n; j += 1) {
        if (i !== j) most = Math.max(most, Math.abs(weights[i * n + j]));
      }
    }
    if (!most) for (const w of weights) most = Math.max(most, Math.abs(w));
    const [ground, up, down] = ["--soft", "--accent", "--c1"].map(
      (name) => channels(colour(name)),
    );
    const image = new ImageData(n, n);
    for (let i = 0; i < n * n; i += 1) {
      const share = most ? Math.min(1, Math.sqrt(Math.abs(weights[i]) / most)) : 0;
      const full = weights[i] < 0 ? down : up;
      for (let c = 0; c < 3; c += 1) {
        image.data[4 * i + c] = ground[c] + share * (full[c] - ground[c]);
      }
      image.data[4 * i + 3] = 255;
    }
    const small = element("canvas");
    small.width = small.height = n;
    small.getContext("2d").putImageData(image, 0, 0);
    sharp(canvas, (context, width) => {
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, width, width);
    });
    canvas.dataset.most = most;
  }

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const n = names.length;
    const clamp = (x) => Math.max(0, Math.min(n - 1, Math.floor(x * n)));
    return [
      clamp((event.clientY - box.top) / box.height),
      clamp((event.clientX - box.left) / box.width),
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
      hint = newHint;
      words.textContent = hint;
      canvas.setAttribute("aria-label", title);
      draw();
    },
  };
}
