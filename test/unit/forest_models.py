"""Randomly trained models of every framework of trees, by number: options go round, the rest is drawn."""

import numpy as np

ROWS = 300


class Drawn:
    """A source of random choices and data for model `number` of a framework."""

    def __init__(self, framework, number):
        self.rng = np.random.default_rng([number, *framework.encode()])
        self.number = number
        self.features = int(self.rng.integers(2, 9))

    def turn(self, options, every=1):
        """One of `options`, the next one every so many models."""
        return options[self.number // every % len(options)]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def rows(self, count=ROWS, missing=0.1, categorical=(), dtype=np.float32):
        x = self.rng.standard_normal((count, self.features))
        rounded = self.rng.random(self.features) < 0.4
        x[:, rounded] = np.round(x[:, rounded] * 2) / 2
        x = np.where(
            self.rng.random(x.shape) < 0.1, self.rng.choice([0.0, -0.0, 1e-40, -1e-36, 1e30, -1e30], x.shape), x
        )
        for column in categorical:
            x[:, column] = self.rng.integers(0, self.rng.integers(2, 40), count)
        return np.where(self.rng.random(x.shape) < missing, np.nan, x).astype(dtype)

    def signal(self, x):
        return np.nan_to_num(x.clip(-3, 3)) @ self.rng.standard_normal(x.shape[1]) + 0.3 * self.rng.standard_normal(
            len(x)
        )


def strange(trees, x, seed, extremes=(np.inf, -np.inf)):
    """Rows as `x` whose numbers often are thresholds of the column, their neighbours, or the edges of the type."""
    rng = np.random.default_rng(seed)
    x = x.copy()
    kind = trees.thresholds.dtype.type
    tiny, most = np.finfo(x.dtype).smallest_subnormal, np.finfo(x.dtype).max
    edges = np.array([0.0, -0.0, tiny, -tiny, 1e-35, -1e-35, most, -most, *extremes, np.nan], x.dtype)
    for row in range(len(x)):
        if len(trees.features):
            for node in rng.integers(0, len(trees.features), 3):
                t = trees.thresholds[node]
                t = rng.choice([t, np.nextafter(t, kind(np.inf)), np.nextafter(t, kind(-np.inf))])
                x[row, trees.features[node]] = t if np.isfinite(t) or len(extremes) else 0
        if rng.random() < 0.3:
            x[row, rng.integers(x.shape[1])] = rng.choice(edges)
    return x


XGBOOST = (
    "reg:squarederror", "binary:logistic", "multi:softprob", "count:poisson", "reg:gamma", "multi:softmax",
    "reg:logistic", "binary:hinge", "reg:tweedie", "reg:absoluteerror", "binary:logitraw", "reg:pseudohubererror",
    "rank:pairwise", "survival:cox", "survival:aft", "reg:quantileerror", "rank:ndcg", "reg:squaredlogerror",
    "rank:map",
)  # fmt: skip


def xgboost(number):
    """(a Booster, rows to try, columns of categories)."""
    import xgboost as package

    d = Drawn("xgboost", number)
    objective = d.turn(XGBOOST)
    booster = d.turn(("gbtree", "gbtree", "dart", "gbtree", "gblinear"))
    categorical = tuple(range(d.features // 2)) if booster != "gblinear" and d.chance(0.3) else ()
    x = d.rows(categorical=categorical, missing=d.rng.choice([0, 0.15]))
    y = d.signal(x)
    settings = {"objective": objective, "booster": booster, "nthread": 1, "seed": number, "eta": 0.3}
    if booster == "gblinear":
        settings["updater"] = "coord_descent"
        x = np.nan_to_num(x.clip(-3, 3))
    else:
        settings |= {
            "max_depth": int(d.rng.integers(1, 7)),
            "tree_method": "hist" if categorical else d.turn(("hist", "exact", "approx")),
        }
        settings |= {"subsample": 0.7} if d.chance(0.3) else {}
        if settings["tree_method"] == "hist" and d.chance(0.3):
            settings |= {"grow_policy": "lossguide", "max_leaves": int(d.rng.integers(3, 40)), "max_depth": 0}
        if d.chance(0.2) and booster == "gbtree":
            settings["num_parallel_tree"] = 3
        if categorical:
            settings["max_cat_to_onehot"] = int(d.rng.choice([1, 50]))
    if booster == "dart":
        settings |= {"rate_drop": 0.3, "normalize_type": d.turn(("tree", "forest"), 5)}
    data = {}
    if objective.startswith("multi:"):
        settings["num_class"] = int(d.rng.integers(2, 5))
        y = np.digitize(y, np.quantile(y, np.linspace(0, 1, settings["num_class"] + 1)[1:-1]))
    elif objective in ("binary:logistic", "binary:hinge", "binary:logitraw"):
        y = (y > 0) * 1.0
    elif objective == "reg:logistic":
        y = 1 / (1 + np.exp(-y))
    elif objective in (
        "count:poisson",
        "reg:gamma",
        "reg:tweedie",
        "survival:cox",
        "survival:aft",
        "reg:squaredlogerror",
    ):
        y = np.exp(y.clip(-2, 2)) + 0.01
    elif objective.startswith("rank:"):
        y = (y > 0) * 1.0 if objective == "rank:map" else np.digitize(y, [-1, 1])
        data["qid"] = np.repeat(np.arange(ROWS // 10), 10)
    if objective == "reg:quantileerror":
        settings["quantile_alpha"] = [0.2, 0.5, 0.9] if booster == "gbtree" else 0.5
    vectors = (
        objective in ("reg:squarederror", "binary:logistic", "reg:logistic") and booster == "gbtree" and d.chance(0.5)
    )
    if vectors:
        y = np.stack([y, 1 - y if objective != "reg:squarederror" else y**2], 1)
        if settings["tree_method"] == "hist" and d.chance(0.6) and not categorical:
            settings["multi_strategy"] = "multi_output_tree"
            settings.pop("num_parallel_tree", None)
    elif d.chance(0.3) and objective not in ("survival:cox", "multi:softprob", "multi:softmax", "reg:quantileerror"):
        settings["base_score"] = 0.4
    kinds = ["c" if c in categorical else "q" for c in range(d.features)] if categorical else None
    matrix = package.DMatrix(x, y, feature_types=kinds, enable_categorical=bool(categorical), **data)
    if objective == "survival:aft":
        matrix.set_float_info("label_lower_bound", y)
        matrix.set_float_info("label_upper_bound", y + (np.arange(ROWS) % 3 == 0))
    return (
        package.train(settings, matrix, int(d.rng.integers(1, 12))),
        d.rows(120, categorical=categorical),
        categorical,
    )


LIGHTGBM = (
    "regression", "binary", "multiclass", "poisson", "regression_l1", "multiclassova", "huber", "quantile", "gamma",
    "tweedie", "cross_entropy", "cross_entropy_lambda", "fair", "mape", "lambdarank", "rank_xendcg",
)  # fmt: skip


def lightgbm(number):
    """(a Booster, rows to try, columns of categories)."""
    import lightgbm as package

    d = Drawn("lightgbm", number)
    objective, boosting = d.turn(LIGHTGBM), d.turn(("gbdt", "dart", "rf", "goss", "gbdt"))
    categorical = tuple(range(d.features // 2)) if d.chance(0.4) else ()
    x = d.rows(categorical=categorical, missing=d.rng.choice([0, 0.15]), dtype=np.float64)
    y = d.signal(x)
    settings = {
        "objective": objective, "boosting": boosting, "num_threads": 1, "verbose": -1, "seed": number,
        "min_data_in_leaf": 3, "num_leaves": int(d.rng.integers(2, 40)), "min_data_per_group": 2, "deterministic": True,
        "zero_as_missing": d.chance(0.25), "use_missing": d.chance(0.8), "max_bin": int(d.rng.choice([15, 255])),
    }  # fmt: skip
    if boosting == "rf":
        settings |= {"bagging_freq": 1, "bagging_fraction": 0.7}
    linear = objective in ("regression", "huber", "fair", "quantile") and boosting == "gbdt" and d.chance(0.7)
    if linear:
        settings |= {"linear_tree": True, "zero_as_missing": False}
        x = x.clip(-3, 3)
    more = {}
    if objective.startswith("multiclass"):
        settings["num_class"] = 3
        y = np.digitize(y, [-1, 1])
    elif objective == "binary":
        y = y > 0
        settings["sigmoid"] = float(d.rng.choice([0.5, 1.0]))
    elif objective in ("cross_entropy", "cross_entropy_lambda"):
        y = 1 / (1 + np.exp(-y))
    elif objective in ("poisson", "gamma", "tweedie"):
        y = np.exp(y.clip(-2, 2))
    elif objective in ("lambdarank", "rank_xendcg"):
        y, more["group"] = np.digitize(y, [-1, 1]), np.full(ROWS // 10, 10)
    elif objective == "regression" and d.chance(0.3) and not linear:
        settings["reg_sqrt"] = True
    made = package.Dataset(x, y, categorical_feature=list(categorical), params={"verbose": -1}, **more)
    return (
        package.train(settings, made, int(d.rng.integers(1, 10))),
        d.rows(120, categorical=categorical, dtype=np.float64),
        categorical,
    )


def sklearn(number):
    """(a fitted estimator, rows to try): single trees to pipelines."""
    from sklearn import compose, ensemble, impute, pipeline, preprocessing, tree

    d = Drawn("sklearn", number)
    d.features = max(d.features, 4)
    seed, depth = {"random_state": number}, {"max_depth": int(d.rng.integers(1, 9))}
    many = {"n_estimators": int(d.rng.integers(2, 7))}
    hot = preprocessing.OneHotEncoder(handle_unknown="ignore", drop=d.turn((None, "first"), 17))
    numbered = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = compose.ColumnTransformer(
        [("a", preprocessing.RobustScaler(), [2]), ("b", hot, [0]), ("c", numbered, [1])], remainder="passthrough"
    )
    single = {**seed, **depth}
    powers, scale, clip = (
        preprocessing.PolynomialFeatures(2),
        preprocessing.StandardScaler(),
        preprocessing.MinMaxScaler(),
    )
    clip.set_params(clip=True)
    impute_ = impute.SimpleImputer(strategy=d.turn(("mean", "median", "most_frequent"), 17), add_indicator=True)
    losses = ("log_loss", "exponential"), ("squared_error", "huber", "quantile"), ("squared_error", "poisson", "gamma")
    losses = [d.turn(several, 17) for several in losses]
    histogram = {**seed, "max_iter": 6, "max_leaf_nodes": int(d.rng.integers(2, 31)), "min_samples_leaf": 5}
    makers = (
        ("y", lambda: tree.DecisionTreeRegressor(**single)),
        ("classes", lambda: tree.DecisionTreeClassifier(**single)),
        ("vectors", lambda: tree.ExtraTreeRegressor(**single)),
        ("several", lambda: tree.DecisionTreeClassifier(**single)),
        ("classes", lambda: ensemble.RandomForestClassifier(**single, **many, n_jobs=1)),
        ("y", lambda: ensemble.RandomForestRegressor(**single, **many, n_jobs=1)),
        ("several", lambda: ensemble.ExtraTreesClassifier(**single, **many)),
        ("vectors", lambda: ensemble.ExtraTreesRegressor(**single, **many, bootstrap=True)),
        ("classes", lambda: ensemble.GradientBoostingClassifier(**single, **many)),
        ("two", lambda: ensemble.GradientBoostingClassifier(**single, **many, loss=losses[0])),
        ("y", lambda: ensemble.GradientBoostingRegressor(**single, **many, loss=losses[1])),
        ("positive", lambda: ensemble.HistGradientBoostingRegressor(**histogram, loss=losses[2])),
        ("classes", lambda: ensemble.HistGradientBoostingClassifier(**histogram, categorical_features=[0, 1])),
        ("none", lambda: ensemble.IsolationForest(**seed, **many, max_features=0.7)),
        ("y", lambda: pipeline.make_pipeline(encode, tree.DecisionTreeRegressor(**single))),
        ("two", lambda: pipeline.make_pipeline(impute_, clip, ensemble.RandomForestClassifier(**single, **many))),
        ("y", lambda: pipeline.make_pipeline(powers, scale, ensemble.GradientBoostingRegressor(**single, **many))),
    )  # fmt: skip
    kind, make = d.turn(makers)
    model = make()
    name = str(model)
    categorical = (0, 1) if "ColumnTransformer" in name or "categorical" in name else ()
    missing = (
        0.1
        if any(n in name for n in ("Hist", "Imputer", "DecisionTree", "RandomForest")) and "Column" not in name
        else 0
    )
    dtype = np.float64 if "Pipeline" in name or "Hist" in name else np.float32
    x = d.rows(missing=missing, categorical=categorical, dtype=dtype)
    x = x.clip(-1e4, 1e4) if "Pipeline" in name else x
    y = d.signal(x)
    targets = {
        "y": y, "positive": np.exp(y.clip(-2, 2)), "vectors": np.stack([y, y**2], 1), "two": y > 0, "none": None,
        "classes": np.digitize(y, [-1, 1]), "several": np.stack([np.digitize(y, [-1, 1]), y > 0], 1),
    }  # fmt: skip
    test = d.rows(120, missing=missing, categorical=categorical, dtype=dtype)
    return model.fit(x, targets[kind]), test.clip(-1e4, 1e4) if "Pipeline" in name else test


def onnx(number):
    """(the bytes of a model of `ai.onnx.ml`, rows to try)."""
    import test_frontends_onnx_ml as made

    d = Drawn("onnx", number)
    outputs = int(d.rng.integers(1, 5))
    more = {"outputs": outputs, "count": int(d.rng.integers(outputs, 9)), "depth": int(d.rng.integers(1, 6))}
    more["several"] = d.chance(0.4)
    more["modes"] = made.MODES if d.chance(0.5) else made.MODES[:1]
    if d.turn((0, 1, 1)):
        more |= d.turn(
            ({}, {"aggregate_function": "AVERAGE"}, {"aggregate_function": "MIN"}, {"aggregate_function": "MAX"}), 2
        )
        if "aggregate_function" not in more and d.chance(0.4):
            more["base_values"] = d.rng.standard_normal(outputs).tolist()
        if outputs > 1:
            more["post_transform"] = d.turn(("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"), 2)
        node, names = made.trees("TreeEnsembleRegressor", number, **more), ("scores",)
    else:
        more["outputs"] = 3
        more["count"] = max(more["count"], 3)
        more["post_transform"] = d.turn(("NONE", "SOFTMAX", "LOGISTIC"), 3)
        node, names = made.trees("TreeEnsembleClassifier", number, **more), ("label", "scores")
    return made.model(node, outputs=names), made.rows(120, number)
