//! Plots as SVG text, to be put into pages: shares as bars with limits, and curves.
use difftumor_ct::metrics::interval::Interval;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 300;
/// Told apart by those who see few colours, too (Okabe & Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
];
/// Of a group's room, what is left free beside its bars.
const FREE_SHARE: f64 = 0.3;

/// One bar, from 0 to 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bar {
    /// `None` is no bar.
    pub(crate) value: Option<f64>,
    /// A line over it.
    pub(crate) limits: Option<Interval>,
}

/// Bars of one colour, one in each group.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// A curve's points.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<[f64; 2]>,
}

/// Points of one colour.
pub(crate) struct Cloud {
    pub(crate) name: String,
    pub(crate) points: Vec<[f64; 2]>,
}

/// Points on a plane whose axes mean nothing.
pub(crate) fn scatter(clouds: &[Cloud]) -> String {
    let all = || clouds.iter().flat_map(|c| &c.points);
    let range = |a: usize| {
        let (low, high) =
            all().map(|p| p[a]).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let room = (0.05 * (high - low)).max(1e-9);
        low - room..high + room
    };
    svg(|area| {
        let mut chart = ChartBuilder::on(area).margin(10).build_cartesian_2d(range(0), range(1))?;
        for (c, cloud) in clouds.iter().enumerate() {
            let colour = COLOURS[c % COLOURS.len()];
            let points = cloud.points.iter().map(|[x, y]| Circle::new((*x, *y), 3, colour.mix(0.7).filled()));
            chart
                .draw_series(points)?
                .label(&cloud.name)
                .legend(move |(x, y)| Circle::new((x + 6, y), 4, colour.filled()));
        }
        legend(&mut chart, clouds.len())
    })
}

/// Groups of bars; one name for each group.
pub(crate) fn bars(axis: &str, groups: &[String], series: &[Series]) -> String {
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..1.0_f64)?;
        // Names stand in the middle of groups, where the mesh would put none.
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .y_desc(axis)
            .y_labels(6)
            .max_light_lines(0)
            .draw()?;
        let width = (1.0 - FREE_SHARE) / series.len() as f64;
        for (s, one) in series.iter().enumerate() {
            let colour = COLOURS[s % COLOURS.len()];
            let drawn = one.bars.iter().enumerate().filter_map(|(g, bar)| Some((g, bar, bar.value?)));
            let boxes = drawn.flat_map(|(g, bar, value)| {
                let left = g as f64 + FREE_SHARE / 2.0 + s as f64 * width;
                let body = Rectangle::new([(left, 0.0), (left + 0.92 * width, value)], colour.filled());
                let middle = left + 0.46 * width;
                let limits = bar.limits.map(|i| {
                    PathElement::new(vec![(middle, i.low), (middle, i.high)], BLACK.stroke_width(1))
                });
                [Some(body.into_dyn()), limits.map(IntoDynElement::into_dyn)].into_iter().flatten()
            });
            chart
                .draw_series(boxes)?
                .label(&one.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        let middle = TextStyle::from(("sans-serif", 13)).pos(plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Center,
            plotters::style::text_anchor::VPos::Top,
        ));
        for (g, name) in groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(g as f64 + 0.5, 0.0));
            area.draw(&Text::new(name.clone(), (x, y + 8), middle.clone()))?;
        }
        legend(&mut chart, series.len())
    })
}

/// Curves from the lower left.
pub(crate) fn curves(x_axis: &str, y_axis: &str, curves: &[Curve]) -> String {
    let far = curves.iter().flat_map(|c| &c.points).map(|p| p[0]).fold(0.0, f64::max);
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..far.max(1.0) * 1.02, 0.0..1.0_f64)?;
        chart.configure_mesh().x_desc(x_axis).y_desc(y_axis).y_labels(6).max_light_lines(0).draw()?;
        for (c, curve) in curves.iter().enumerate() {
            let colour = COLOURS[c % COLOURS.len()];
            let points = || curve.points.iter().map(|[x, y]| (*x, *y));
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
                .label(&curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], colour.stroke_width(2)));
            chart.draw_series(points().map(|p| Circle::new(p, 3, colour.filled())))?;
        }
        legend(&mut chart, curves.len())
    })
}

type Failure = DrawingAreaErrorKind<std::io::Error>;

/// Only where there is something to tell apart.
fn legend<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    entries: usize,
) -> Result<(), Failure>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    if entries < 2 {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

fn svg(draw: impl for<'a> FnOnce(&DrawingArea<SVGBackend<'a>, Shift>) -> Result<(), Failure>) -> String {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH_PX, HEIGHT_PX)).into_drawing_area();
        draw(&area).and_then(|()| area.present()).expect("writing to memory does not fail");
    }
    text
}
