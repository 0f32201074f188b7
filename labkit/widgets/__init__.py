"""Live views, and how the lab's values look in a notebook. Layer 10.

    plan_view         PlanView: a plan, step by step, with its system calls
    namespaces_view   NamespacesView: what two processes share, and what not
    meter             Meter: a cgroup's use and limits, live, with the limit to drag
    layers_view       LayersView: an overlay's layers and the tree they make
    card, prediction  ExerciseCard, predict and recall
    figure            figure: what was measured, with matplotlib
    formatters        register: values of the lab as cells show them
    error_card        three lines instead of forty

    view, sampler, cells   what live views stand on
    html, browser          what they are made of; no file comes from the network
    saved                  what a saved notebook keeps of them

The only package that imports Jupyter. Nothing below imports it.
"""
