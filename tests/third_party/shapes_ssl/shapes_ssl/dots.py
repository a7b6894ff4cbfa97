TITLE = "A dot for each number"
CAPTION = "Every finished number, in the order of the runs."


def data(runs, frame):
    return frame[frame["value"].notna()][["run_id", "metric", "value"]]


def draw(runs, frame):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    figure.subplots().plot(data(runs, frame)["value"].to_list(), "o")
    return figure
