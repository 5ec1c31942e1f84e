const data = JSON.parse(byId("data").textContent);
const redraws = [];
let graph = null;
if (data.graph) {
  graph = labelGraph(data.graph);
  redraws.push(graph.redraw);
}
if (data.labels) labelTable(data.labels, (id) => graph && graph.show(id));
if (data.confusion) {
  const { labels, together, confused } = data.confusion;
  const names = labels.map((id) => data.labels.titles[id] || data.labels.names[id]);
  for (const [id, matrix, words, title] of [
    ["heat-together", together, "missed together with", "Labels missed together"],
    ["heat-confused", confused, "missed where this was predicted:", "Labels confused"],
  ]) {
    if (!byId(id)) continue; // there is no such pair
    const map = heatMap(byId(id), (row, column, count) => (
      `${row}, ${words} ${column}: ${whole(count)} documents`
    ));
    map.set(names, Float32Array.from(matrix.flat()), title,
      `the ${labels.length} labels with the most such pairs; rows are missed labels`);
    redraws.push(map.draw);
  }
}
const redrawAll = () => redraws.forEach((redraw) => redraw());
window.addEventListener("resize", redrawAll);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
document.documentElement.dataset.ready = "yes";
