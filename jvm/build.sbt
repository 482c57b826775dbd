// For IDEs: they open this folder as an sbt project. `make jar` does not use it: jvm/build.py compiles with the Scala
// compiler in pyspark's jars, and writes the manifest of functions.
ThisBuild / scalaVersion := "2.13.16"

val sparkVersion = "4.0.1"
val munitVersion = "1.2.4"

lazy val extension = (project in file("."))
  .settings(
    name := "aiquery-spark",
    Compile / unmanagedSourceDirectories := Seq(baseDirectory.value / "src"),
    Compile / unmanagedResourceDirectories := Nil,
    Test / unmanagedSourceDirectories := Seq(baseDirectory.value / "test"),
    Test / unmanagedResourceDirectories := Nil,
    libraryDependencies ++= Seq(
      "org.apache.spark" %% "spark-catalyst" % sparkVersion % Provided,
      "org.apache.spark" %% "spark-sql" % sparkVersion % Provided,
      "org.scalameta" %% "munit" % munitVersion % Test))
