const MOST_ZOOM = 24;

// Labels as nodes at places that were computed before; zoom, move, point, choose.
function network(canvas, graph, changed) {
  const n = graph.names.length;
  const largest = Math.max(...graph.counts, 1);
  const radius = graph.counts.map((count) => 3 + 8 * Math.sqrt(count / largest));
  const order = [...graph.counts.keys()].sort((a, b) => graph.counts[b] - graph.counts[a]);
  const view = { zoom: 1, x: 0, y: 0 };
  let edges = [];
  let chosen = -1;
  let under = -1;
  let found = null;
  let waiting = false;

  function place(i, width, height) {
    const half = Math.min(width, height) / 2 - 34;
    const stretch = Math.min(1.6, Math.max(1, width / height));
    return [
      width / 2 + (graph.positions[i][0] * half * stretch) * view.zoom + view.x,
      height / 2 + graph.positions[i][1] * half * view.zoom + view.y,
    ];
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function draw() {
    sharp(canvas, (context, width, height) => {
      const at = graph.positions.map((_, i) => place(i, width, height));
      const focus = under >= 0 ? under : chosen;
      const near = new Set([focus]);
      const ink = colour("--ink");
      const card = colour("--card");
      const tones = { up: colour("--accent"), down: colour("--c1"), idle: colour("--muted") };
      context.lineCap = "round";
      for (const edge of edges) {
        const own = focus >= 0 && (edge.to === focus || edge.from === focus);
        if (own) { near.add(edge.to); near.add(edge.from); }
        context.globalAlpha = own ? 0.95 : focus >= 0 ? 0.1 : 0.18 + 0.5 * edge.share;
        context.strokeStyle = edge.weight < 0 ? tones.down
          : own && edge.to === focus ? tones.up : own ? colour("--c2") : tones.idle;
        context.lineWidth = (own ? 1.2 : 0.5) + 2.6 * edge.share;
        const [a, b] = [at[edge.from], at[edge.to]];
        const bend = 0.12;
        context.beginPath();
        context.moveTo(a[0], a[1]);
        context.quadraticCurveTo(
          (a[0] + b[0]) / 2 + bend * (b[1] - a[1]),
          (a[1] + b[1]) / 2 - bend * (b[0] - a[0]), b[0], b[1],
        );
        context.stroke();
      }
      const grow = Math.min(2.2, Math.sqrt(view.zoom));
      for (let i = n - 1; i >= 0; i -= 1) {
        const node = order[i];
        const quiet = (focus >= 0 && !near.has(node)) || (found && !found.has(node));
        context.globalAlpha = quiet ? 0.22 : 1;
        context.beginPath();
        context.arc(at[node][0], at[node][1], radius[node] * grow, 0, 2 * Math.PI);
        context.fillStyle = clusterColour(graph.clusters[node]);
        context.fill();
        context.lineWidth = node === chosen ? 3 : 1.2;
        context.strokeStyle = node === chosen ? ink : card;
        context.stroke();
      }
      names(context, at, width, height, grow, focus, near, ink, card);
      context.globalAlpha = 1;
    });
    canvas.dataset.zoom = view.zoom.toFixed(3);
    canvas.dataset.edges = edges.length;
    canvas.dataset.chosen = chosen >= 0 ? graph.names[chosen] : "";
    canvas.dataset.found = found ? found.size : "";
  }

  // The most frequent labels first; a name that would cover another is left out.
  function names(context, at, width, height, grow, focus, near, ink, card) {
    const taken = [];
    const first = focus >= 0 ? [...near] : found ? [...found] : [];
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const node of new Set([...first, ...order])) {
      if (focus >= 0 && !near.has(node)) continue;
      if (found && focus < 0 && !found.has(node)) continue;
      const [x, y] = at[node];
      if (x < -20 || y < -10 || x > width + 20 || y > height + 10) continue;
      const full = graph.names[node];
      const text = full.length > 34 && node !== focus ? `${full.slice(0, 33)}…` : full;
      const wide = context.measureText(text).width;
      const gap = radius[node] * grow + 4;
      const left = Math.max(2, x + gap + wide > width ? x - gap - wide : x + gap);
      const box = [left - 1, y - 7, left + wide + 1, y + 7];
      const meets = taken.some((other) => box[0] < other[2] && other[0] < box[2]
        && box[1] < other[3] && other[1] < box[3]);
      if (meets && node !== focus) continue;
      taken.push(box);
      context.globalAlpha = 1;
      context.strokeStyle = card;
      context.lineWidth = 3;
      context.strokeText(text, left, y);
      context.fillStyle = ink;
      context.fillText(text, left, y);
    }
  }

  function zoomTo(factor, x, y) {
    const box = canvas.getBoundingClientRect();
    const before = view.zoom;
    view.zoom = Math.max(1, Math.min(MOST_ZOOM, view.zoom * factor));
    const real = view.zoom / before;
    const middle = [x - box.width / 2, y - box.height / 2];
    view.x = middle[0] - (middle[0] - view.x) * real;
    view.y = middle[1] - (middle[1] - view.y) * real;
    if (view.zoom === 1) { view.x = 0; view.y = 0; }
    later();
    return real !== 1;
  }

  function nodeAt(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let nearest = event.pointerType === "touch" ? 24 : 14;
    for (let i = 0; i < n; i += 1) {
      const [px, py] = place(i, box.width, box.height);
      const distance = Math.hypot(px - x, py - y);
      if (distance < nearest) { nearest = distance; best = i; }
    }
    return best;
  }

  function choose(node) {
    chosen = node;
    changed(node, true);
    later();
  }

  const fingers = new Map();
  let moved = 0;
  canvas.addEventListener("wheel", (event) => {
    const box = canvas.getBoundingClientRect();
    const factor = Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016));
    // Zoomed out wholly, the page scrolls on.
    if (zoomTo(factor, event.clientX - box.left, event.clientY - box.top)) {
      event.preventDefault();
    }
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) {
      const node = nodeAt(event);
      if (node !== under) {
        under = node;
        changed(node >= 0 ? node : chosen, false);
        later();
      }
      return;
    }
    const others = [...fingers].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const box = canvas.getBoundingClientRect();
      const [ox, oy] = others[0][1];
      const before = Math.hypot(last[0] - ox, last[1] - oy);
      const now = Math.hypot(event.clientX - ox, event.clientY - oy);
      zoomTo(now / Math.max(before, 1), (event.clientX + ox) / 2 - box.left,
        (event.clientY + oy) / 2 - box.top);
      moved += 10;
    } else {
      view.x += event.clientX - last[0];
      view.y += event.clientY - last[1];
      moved += Math.abs(event.clientX - last[0]) + Math.abs(event.clientY - last[1]);
    }
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    later();
  });
  const lift = (event) => {
    if (fingers.delete(event.pointerId) && moved < 5 && event.type === "pointerup") {
      choose(nodeAt(event));
    }
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => {
    if (under >= 0) { under = -1; changed(chosen, false); later(); }
  });
  canvas.addEventListener("keydown", (event) => {
    const box = canvas.getBoundingClientRect();
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40],
      ArrowDown: [0, -40] }[event.key];
    if (step) { view.x += step[0]; view.y += step[1]; later(); }
    else if (event.key === "+" || event.key === "=") zoomTo(1.4, box.width / 2, box.height / 2);
    else if (event.key === "-") zoomTo(1 / 1.4, box.width / 2, box.height / 2);
    else if (event.key === "Escape") choose(-1);
    else return;
    event.preventDefault();
  });

  return {
    draw,
    choose,
    zoom(factor) {
      const box = canvas.getBoundingClientRect();
      zoomTo(factor, box.width / 2, box.height / 2);
    },
    fit() { Object.assign(view, { zoom: 1, x: 0, y: 0 }); later(); },
    find(nodes) { found = nodes; later(); },
    centre(node) {
      const box = canvas.getBoundingClientRect();
      const [x, y] = place(node, box.width, box.height);
      view.x += box.width / 2 - x;
      view.y += box.height / 2 - y;
      later();
    },
    set(newEdges) { edges = newEdges; later(); },
  };
}
