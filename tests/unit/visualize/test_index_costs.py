from retrieval_core.visualize.index_costs import PANELS, IndexCost, costs_chart
from retrieval_core.visualize.theme import DARK, LIGHT, to_png


def cost(kind, device, dim):
    return IndexCost(kind, device, dim, dim / 8, 0.01, 1 / dim, 4.0 * dim, 0.9)


def test_a_panel_for_every_cost_and_a_line_for_every_kind_and_device():
    kinds = [("exact", "cpu"), ("hnsw", "cpu"), ("exact", "gpu")]
    costs = [cost(*each, dim) for dim in (512, 256) for each in kinds]
    figure = costs_chart(costs, LIGHT)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(PANELS.values())
    build = figure.axes[0]
    assert [line.get_label() for line in build.lines] == ["exact", "hnsw", "exact, GPU"]
    assert build.lines[0].get_xdata().tolist() == [256, 512]
    assert build.lines[0].get_ydata().tolist() == [32, 64]
    assert [line.get_linestyle() for line in build.lines] == ["-", "-", "--"]
    assert build.lines[0].get_color() == build.lines[2].get_color()


def test_one_measurement_is_drawn_too():
    assert to_png(costs_chart([cost("ivf_pq", "cpu", 256)], DARK))[:4] == b"\x89PNG"
