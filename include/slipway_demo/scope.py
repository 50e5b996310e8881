"""Which packages the demo reads, and which parts of them.

All are pinned in requirements.txt, directly or through another package, so every machine reads the same text. The
parts left out are internals with public-looking names, and families of near-copies (the methods of every estimator,
six polynomial bases) that would cost embedding time and answer nobody's question.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """One package to read, by its import name.

    All three lists are prefixes of public paths, matched at a dot. `only`: what to keep (everything when empty).
    `excluded`: what to leave out. `members`: the classes whose methods and properties make rows of their own
    (every class when None).
    """

    package: str
    distribution: str
    only: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    members: tuple[str, ...] | None = None

    def keeps(self, path: str) -> bool:
        """Whether the object at this public path makes a row."""
        return (not self.only or under(path, self.only)) and not under(path, self.excluded)

    def keeps_members(self, path: str) -> bool:
        """Whether the members of the class at this public path make rows."""
        return self.members is None or under(path, self.members)


def under(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a dotted path equals one of the prefixes or lies below it."""
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in prefixes)


def _all(package: str, names: str) -> tuple[str, ...]:
    return tuple(f"{package}.{name}" for name in names.split())


SCOPES: tuple[Scope, ...] = (
    Scope(
        "pandas",
        "pandas",
        excluded=_all(
            "pandas",
            "core compat util Index.str io.sql io.parquet io.feather_format io.orc io.pickle io.iceberg io.xml"
            " io.common io.parsers io.pytables io.sas io.stata io.clipboard io.clipboards"
            " io.formats.format io.formats.printing io.formats.html io.formats.xml io.formats.info io.formats.csvs"
            " io.formats.excel io.formats.css io.formats.string io.formats.console io.formats.style_render"
            " api.interchange arrays.ArrowExtensionArray arrays.ArrowStringArray arrays.StringArray"
            " arrays.BooleanArray arrays.FloatingArray arrays.IntegerArray arrays.NumpyExtensionArray"
            " arrays.SparseArray arrays.IntervalArray arrays.PeriodArray"
            " PeriodIndex IntervalIndex CategoricalIndex RangeIndex TimedeltaIndex HDFStore tseries api.indexers"
            " api.extensions io plotting arrays Categorical",
        ),
    ),
    Scope(
        "numpy",
        "numpy",
        excluded=_all(
            "numpy",
            "f2py distutils core typing matlib matrix matrixlib lib ma polynomial.hermite polynomial.hermite_e"
            " polynomial.laguerre polynomial.legendre polynomial.chebyshev polynomial.polyutils generic"
            " version ctypeslib testing polynomial rec ufunc nditer char dtype",
        ),
    ),
    Scope(
        "scipy",
        "scipy",
        excluded=_all(
            "scipy",
            "fftpack odr misc stats.mstats stats.mstats_basic stats.mstats_extras stats.sampling io.arff"
            " io.netcdf_variable io.netcdf_file io.matlab linalg.interpolative datasets constants signal.spline"
            " signal.abcd_normalize version signal.windows signal.ShortTimeFFT stats.Binomial"
            " sparse.bsr_array sparse.coo_array stats.contingency special signal ndimage io",
        ),
        members=_all(
            "scipy",
            "interpolate spatial.KDTree spatial.transform stats.rv_continuous stats.gaussian_kde stats.qmc"
            " optimize integrate",
        ),
    ),
    Scope(
        "sklearn",
        "scikit-learn",
        excluded=_all(
            "sklearn",
            "utils.estimator_checks utils.sparsefuncs_fast utils.murmurhash utils.arrayfuncs setup_module callback"
            " utils.extmath utils.sparsefuncs utils.metadata_routing utils.validation gaussian_process.kernels"
            " covariance cross_decomposition experimental base.is_outlier_detector semi_supervised datasets"
            " random_projection kernel_approximation discriminant_analysis utils manifold",
        ),
        members=_all(
            "sklearn",
            "base pipeline compose model_selection.GridSearchCV model_selection.KFold"
            " model_selection.StratifiedKFold linear_model.LinearRegression linear_model.LogisticRegression"
            " linear_model.SGDClassifier cluster.KMeans cluster.DBSCAN decomposition.PCA decomposition.NMF"
            " feature_extraction.text ensemble.RandomForestClassifier ensemble.GradientBoostingClassifier"
            " neighbors.KNeighborsClassifier neighbors.NearestNeighbors preprocessing.StandardScaler"
            " preprocessing.OneHotEncoder preprocessing.LabelEncoder metrics.ConfusionMatrixDisplay",
        ),
    ),
    Scope(
        "pyarrow",
        "pyarrow",
        excluded=_all(
            "pyarrow",
            "lib cuda jvm benchmark gandiva cffi pandas_compat interchange substrait parquet.ParquetReader"
            " SparseCSFTensor SparseCSCMatrix SparseCSRMatrix SparseCOOTensor Tensor FixedShapeTensorArray orc acero",
        ),
    ),
    Scope(
        "airflow",
        "apache-airflow",
        excluded=_all(
            "airflow",
            "api api_fastapi migrations example_dags cli ui ti_deps jobs serialization dag_processing listeners"
            " configuration providers_manager observability settings plugins_manager logging logging_config"
            " sdk.execution_time sdk.api sdk.configuration sdk.observability sdk.providers_manager_runtime"
            " sdk.coordinators sdk.serde sdk.crypto sdk.lineage sdk.plugins_manager sdk.listener sdk.log"
            " models.backfill models.callback models.crypto models.serialized_dag models.connection_test"
            " models.dagcode models.hitl models.team models.revoked_token assets.manager executors.workloads"
            " utils.dag_version_inflation_checker utils.dot_renderer utils.db utils.db_manager utils.dag_edges"
            " utils.cli utils.serve_logs utils.sqlalchemy utils.log utils.memray_utils utils.platform utils.code_utils"
            " triggers.shared_stream partition_mappers sdk.module_loading sdk.types models.asset"
            " models.DbCallbackRequest models.TaskInstanceHistory models.RenderedTaskInstanceFields"
            " providers.standard.triggers utils.cli_action_loggers providers.standard.example_dags"
            " providers.common.sql.example_dags providers.common.compat providers.common.sql.doc"
            " executors state policies security timetables models.DagRun models.DagModel models.dag models.dagrun"
            " models.renderedtifields models.dag_version models.xcom models.Pool",
        ),
    ),
    Scope(
        "sqlalchemy",
        "SQLAlchemy",
        only=_all(
            "sqlalchemy",
            "select insert update delete text create_engine and_ or_ not_ case cast func join outerjoin union"
            " union_all exists distinct literal bindparam Table Column MetaData Index ForeignKey UniqueConstraint"
            " CheckConstraint Engine Connection Result Row URL Select Inspector inspect event exc pool dialects"
            " orm.Session orm.Query orm.relationship orm.mapped_column orm.DeclarativeBase orm.sessionmaker"
            " orm.joinedload orm.selectinload orm.Load orm.aliased orm.backref orm.registry orm.exc"
            " ext.asyncio.AsyncSession ext.asyncio.AsyncEngine ext.asyncio.create_async_engine"
            " ext.hybrid",
        ),
        excluded=_all("sqlalchemy", "dialects.mysql dialects.mssql dialects.oracle pool ext.hybrid"),
    ),
    Scope("pydantic", "pydantic", excluded=_all("pydantic", "v1 deprecated plugin mypy json_schema color version")),
    Scope("click", "click", excluded=("click.shell_completion",)),
    Scope("requests", "requests"),
    Scope("httpx", "httpx"),
    Scope("joblib", "joblib", excluded=_all("joblib", "numpy_pickle_compat compressor backports testing")),
    Scope("tqdm", "tqdm", excluded=_all("tqdm", "contrib.discord contrib.slack contrib.telegram utils keras dask")),
    Scope("tenacity", "tenacity"),
    Scope("psutil", "psutil"),
    Scope("boto3", "boto3", excluded=_all("boto3", "docs resources compat crt dynamodb")),
    Scope("dateutil", "python-dateutil", excluded=("dateutil.tz",)),
    Scope("cachetools", "cachetools"),
    Scope("ftfy", "ftfy"),
)
